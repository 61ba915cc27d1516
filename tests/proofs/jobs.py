"""The app of the proofs: jobs that write down what they do, in a file that only ever grows."""

import asyncio
import json
import os
import time
from pathlib import Path

from howdah import App, Context

EVERY = 0.02  # seconds between two looks, and between two signs of life
app = App()
LEDGER = Path(os.environ["PROOF_LEDGER"])
_file = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(what: str, ctx: Context) -> None:
    line = {
        "what": what,
        "job": str(ctx.job_id),
        "attempt": ctx.attempt,
        "pid": os.getpid(),
        "at": time.monotonic(),
        "wall": time.time(),
    }
    os.write(_file, json.dumps(line).encode() + b"\n")


def is_first(ctx: Context) -> bool:
    """Whether the job never ran before: then it leaves a mark."""
    try:
        os.close(os.open(LEDGER.with_name(f"ran-{ctx.job_id}"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def goes_on(since: float, first: bool, gate: str, again: float) -> bool:
    """A job's first run goes on until a file is there, later runs for so many seconds."""
    return not os.access(gate, os.F_OK) if first else time.monotonic() < since + again


async def hold(ctx: Context, *, gate: str, again: float = 0.0) -> None:
    """Waits for a file when it runs for the first time; later runs take so many seconds."""
    note("start", ctx)
    since, first = time.monotonic(), is_first(ctx)
    while goes_on(since, first, gate, again):  # noqa: ASYNC110 - the gate is another process's
        await asyncio.sleep(EVERY)
    note("end", ctx)


app.task(name="hold", timeout=600)(hold)
app.task(name="hold_once", timeout=600, delivery="at_most_once")(hold)


def hold_here(ctx: Context, *, gate: str, again: float = 0.0) -> None:
    note("start", ctx)
    since, first = time.monotonic(), is_first(ctx)
    while goes_on(since, first, gate, again):
        time.sleep(EVERY)
    note("end", ctx)


app.task(name="hold_in_thread", timeout=600)(hold_here)
app.task(name="hold_in_process", timeout=600, executor="process")(hold_here)


@app.task(name="block", timeout=600)
async def block(ctx: Context) -> None:
    """Stops the event loop when it runs for the first time; later runs end at once."""
    note("start", ctx)
    if is_first(ctx):
        time.sleep(600)  # noqa: ASYNC251 - that is what it is for
    note("end", ctx)


@app.task(name="tick", timeout=600)
async def tick(ctx: Context, *, gate: str, again: float) -> int:
    """Shows that it lives."""
    note("start", ctx)
    since, first = time.monotonic(), is_first(ctx)
    while goes_on(since, first, gate, again):
        note("tick", ctx)
        await asyncio.sleep(EVERY)
    note("end", ctx)
    return os.getpid()


@app.task(name="tick_in_thread", timeout=600)
def tick_in_thread(ctx: Context, *, gate: str, again: float) -> int:
    note("start", ctx)
    since, first = time.monotonic(), is_first(ctx)
    while goes_on(since, first, gate, again):
        note("tick", ctx)
        time.sleep(EVERY)
    note("end", ctx)
    return os.getpid()


@app.task(name="tell", timeout=600)
async def tell(ctx: Context, *, gate: str, size: int) -> str:
    """Waits for a file, and then has much to say."""
    note("start", ctx)
    while not os.access(gate, os.F_OK):  # noqa: ASYNC110 - the gate is another process's
        await asyncio.sleep(EVERY)
    note("end", ctx)
    return os.urandom(size // 2).hex()


async def nap(ctx: Context, *, seconds: float) -> None:
    note("start", ctx)
    await asyncio.sleep(seconds)
    note("end", ctx)


def nap_here(ctx: Context, *, seconds: float) -> None:
    note("start", ctx)
    time.sleep(seconds)
    note("end", ctx)


app.task(name="nap", timeout=600)(nap)
app.task(name="nap_in_thread", timeout=600)(nap_here)
app.task(name="nap_in_process", timeout=600, executor="process")(nap_here)
app.task(name="nap_once", timeout=600, delivery="at_most_once")(nap)
app.task(name="nap_once_in_process", timeout=600, delivery="at_most_once", executor="process")(
    nap_here
)


@app.task(name="effect", timeout=600, delivery="transactional")
async def effect(ctx: Context, *, seconds: float) -> None:
    """Leaves one row for its job, in the transaction that ends it."""
    note("start", ctx)
    await ctx.connection.execute("insert into effect (job) values ($1)", ctx.job_id)
    await asyncio.sleep(seconds)


@app.task(name="effect_in_thread", timeout=600, delivery="transactional", connection="psycopg")
def effect_in_thread(ctx: Context, *, seconds: float) -> None:
    note("start", ctx)
    ctx.connection.execute("insert into effect (job) values (%s)", [ctx.job_id])
    ctx.wait_cancelled(seconds)


@app.task(name="compute", timeout=600)
def compute(ctx: Context, *, rounds: int) -> None:
    """Holds a core."""
    note("start", ctx)
    total = 0
    for number in range(rounds):
        total += number * number
    note("end", ctx)


@app.task(name="emit")
async def emit(n: int) -> list[int]:
    """A fan-out: one job for each."""
    return [*range(n)]


@app.task(name="item")
async def item(item: int) -> int:
    return item + 1


@app.task(name="merge")
async def merge(items: list[int]) -> int:
    return sum(items)


@app.task(name="one")
async def one(n: int = 0) -> int:
    return n
