"""The app whose jobs a chaos run works on: each writes down when it starts and when it ends.

A job's `key` is its own in the whole run. What is to become of it stands in its arguments: how long
it holds its slot, how many attempts fail, whether it is snoozed. What it returns is its fence: the
result beside which the store keeps the lease that was finished must be of that very lease.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from pathlib import Path
from typing import Any

import asyncpg

from chaos import flow_program
from chaos.log import Log
from howdah import App, Context, Retry, Snooze
from howdah.events import Event, LeaseRefused

FOLDER = Path(os.environ["CHAOS_FOLDER"])
DEFECT = os.environ.get("CHAOS_DEFECT", "")  # planted by the run, to see whether it is found
EFFECT = "insert into chaos.effects (key, attempt, token) values ($1, $2, $3)"
SOON = Retry(max_attempts=4, first=0.2, factor=1.5, longest=2.0)
app = App()
_logs: dict[int, Log] = {}


def note(what: str, /, **facts: Any) -> None:
    """Write it into this process's own file."""
    pid = os.getpid()
    if pid not in _logs:
        _logs[pid] = Log(FOLDER / "log" / f"worker-{pid}.jsonl")
    _logs[pid].write(what, w=pid, **facts)


def began(ctx: Context, key: int) -> None:
    note("start", k=key, a=ctx.attempt, f=str(ctx.fence))


def ended(ctx: Context, key: int) -> str:
    note("end", k=key, f=str(ctx.fence))
    return str(ctx.fence)


def judge(ctx: Context, key: int, fail: int, snooze: bool) -> None:
    """Raise what is to become of this attempt."""
    if snooze and is_first(key):
        note("end", k=key, f=str(ctx.fence), o="snooze")
        raise Snooze(0.3)
    if ctx.attempt <= fail:
        note("end", k=key, f=str(ctx.fence), o="fail")
        raise RuntimeError(f"attempt {ctx.attempt} fails, as it was told to")


def is_first(key: int) -> bool:
    """Whether nobody asked this of the job before."""
    try:
        os.close(os.open(FOLDER / "marks" / str(key), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


async def in_coroutine(
    ctx: Context, *, key: int, hold: float = 0.0, fail: int = 0, snooze: bool = False
) -> str:
    began(ctx, key)
    if hold:
        await asyncio.sleep(hold)
    judge(ctx, key, fail, snooze)
    return ended(ctx, key)


def in_thread(
    ctx: Context, *, key: int, hold: float = 0.0, fail: int = 0, snooze: bool = False
) -> str:
    began(ctx, key)
    if hold:
        ctx.wait_cancelled(hold)
    judge(ctx, key, fail, snooze)
    return ended(ctx, key)


def in_process(
    ctx: Context, *, key: int, hold: float = 0.0, fail: int = 0, snooze: bool = False
) -> str:
    began(ctx, key)
    time.sleep(hold)
    judge(ctx, key, fail, snooze)
    return ended(ctx, key)


async def with_effect(
    ctx: Context, *, key: int, hold: float = 0.0, fail: int = 0, snooze: bool = False
) -> str:
    """Leaves one row, in the transaction that ends the job."""
    began(ctx, key)
    if DEFECT == "effect-outside":
        other = await asyncpg.connect(os.environ["HOWDAH_DATABASE_URL"])
        await other.execute(EFFECT, key, ctx.attempt, ctx.fence)
        await other.close()
    else:
        await ctx.connection.execute(EFFECT, key, ctx.attempt, ctx.fence)
    if hold:
        await asyncio.sleep(hold)
    judge(ctx, key, fail, snooze)
    return ended(ctx, key)


def with_effect_in_thread(
    ctx: Context, *, key: int, hold: float = 0.0, fail: int = 0, snooze: bool = False
) -> str:
    """The same with psycopg, in a thread."""
    began(ctx, key)
    ctx.connection.execute(
        "insert into chaos.effects (key, attempt, token) values (%s, %s, %s)",
        [key, ctx.attempt, ctx.fence],
    )
    if hold:
        ctx.wait_cancelled(hold)
    judge(ctx, key, fail, snooze)
    return ended(ctx, key)


def declare() -> None:
    """All tasks, by the names that producers and faults know."""
    app.task(name="co", retry=SOON)(in_coroutine)
    app.task(name="limited", retry=SOON)(in_coroutine)
    app.task(name="thread", retry=SOON)(in_thread)
    app.task(name="process", retry=SOON, executor="process")(in_process)
    app.task(name="tx", retry=SOON, delivery="transactional")(with_effect)
    app.task(name="tx_thread", retry=SOON, delivery="transactional", connection="psycopg")(
        with_effect_in_thread
    )
    app.task(name="once", delivery="at_most_once")(in_coroutine)
    app.task(name="once_thread", delivery="at_most_once")(in_thread)
    app.task(name="once_process", delivery="at_most_once", executor="process")(in_process)
    flow_program.declare(app, SOON)
    app.task(name="die", retry=SOON)(die)
    app.task(name="hog", retry=SOON)(hog)


async def die(ctx: Context, *, key: int, how: str = "exit") -> None:
    """Takes its process with it, each time: after three crashes it is to be given up."""
    began(ctx, key)
    if how == "segfault":
        ctypes.string_at(0)
    os._exit(9)


async def hog(ctx: Context, *, key: int, seconds: float) -> str:
    """Lets nothing else run, the first time."""
    began(ctx, key)
    if is_first(key):
        time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for
    return ended(ctx, key)


def tell(event: Event) -> None:
    """What the store did not take."""
    if isinstance(event, LeaseRefused):
        note("refused", id=event.job_id)


declare()
app.events.subscribe(tell)
