"""A worker process for tests: its tasks write into a ledger when they start and end."""

import asyncio
import itertools
import json
import os
import sys
import time
from collections import deque
from pathlib import Path

from howdah import App, Context, Retry
from howdah.events import WorkerStopping

given = json.loads(sys.argv[1])
ledger = Path(given["ledger"])
app = App(given["dsn"], **given["settings"])


def note(what: str, ctx: Context) -> None:
    line = {"what": what, "job": str(ctx.job_id), "attempt": ctx.attempt, "pid": os.getpid()}
    with ledger.open("a") as file:
        file.write(json.dumps({**line, "at": time.monotonic()}) + "\n")


def is_first(ctx: Context) -> bool:
    return ledger.read_text().count(f'"start", "job": "{ctx.job_id}"') == 1


@app.task(name="hold", retry=Retry(max_attempts=3, first=0.1))
async def hold(ctx: Context, *, first: float = 0.0, again: float = 0.0) -> str:
    """Takes so long when the job runs for the first time, and so long when it runs again."""
    note("start", ctx)
    await asyncio.sleep(first if is_first(ctx) else again)
    note("end", ctx)
    return str(os.getpid())


@app.task(name="once", delivery="at_most_once")
async def once(ctx: Context, *, first: float = 0.0) -> str:
    note("start", ctx)
    await asyncio.sleep(first)
    note("end", ctx)
    return "done"


@app.task(name="block")
def block(ctx: Context, *, length: float) -> None:
    """Takes its time in a thread, deaf to everything."""
    note("start", ctx)
    time.sleep(length)
    note("end", ctx)


@app.task(name="effect", delivery="transactional", retry=Retry(max_attempts=3, first=0.1))
async def effect(ctx: Context, *, first: float = 0.0, sleep: float = 0.0) -> None:
    """Leaves one row for its job; asleep in the server the first time, if it is told to."""
    note("start", ctx)
    await ctx.connection.execute("insert into effect (job) values ($1)", ctx.job_id)
    await ctx.connection.execute("select pg_sleep($1)", first if is_first(ctx) else sleep)
    note("end", ctx)


@app.task(name="effect in a thread", delivery="transactional", connection="psycopg")
def effect_in_a_thread(ctx: Context, *, first: float = 0.0, sleep: float = 0.0) -> None:
    """The same with psycopg."""
    note("start", ctx)
    ctx.connection.execute("insert into effect (job) values (%s)", [ctx.job_id])
    ctx.connection.execute("select pg_sleep(%s)", [first if is_first(ctx) else sleep])
    note("end", ctx)


if given["settings"].get("process_slots"):

    @app.task(name="apart", executor="process")
    def apart(ctx: Context, *, is_deaf: bool = False) -> int:
        """In a process of its own, where it may keep the interpreter for itself."""
        note("start", ctx)
        if is_deaf:
            deque(itertools.repeat(0), maxlen=0)
        note("end", ctx)
        return os.getppid()

    @app.task(name="once apart", delivery="at_most_once", executor="process")
    def once_apart(ctx: Context, *, first: float = 0.0) -> str:
        note("start", ctx)
        time.sleep(first)
        note("end", ctx)
        return "done"


@app.task(name="family")
async def family(ctx: Context, *, children: int) -> None:
    """Enqueues jobs that enqueue jobs."""
    note("start", ctx)
    for _ in range(children):
        await app.enqueue(family.job(children=children - 1))
    note("end", ctx)


def say_that_it_stops(event: object) -> None:
    if isinstance(event, WorkerStopping):
        with ledger.open("a") as file:
            file.write(json.dumps({"what": "stopping", "pid": os.getpid()}) + "\n")


if __name__ == "__main__":
    app.events.subscribe(say_that_it_stops)
    app.run_worker(**given["options"])
