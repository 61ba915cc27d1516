"""The app of the parent's tests: tasks that write into a ledger, and tasks that misbehave."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from howdah import App, Context, Retry

ledger = Path(os.environ["LEDGER"])
given = json.loads(os.environ.get("SETTINGS", "{}"))
time.sleep(given.pop("import_takes", 0))
if where := given.pop("url_in", None):
    given["database_url"] = Path(where).read_text()


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[None]:
    yield
    await asyncio.sleep(closing_takes)
    sys.stderr.write("the lifespan is closed\n")


closing_takes = given.pop("closing_takes", None)
app = App(**given, lifespan=None if closing_takes is None else lifespan)
AGAIN = Retry(max_attempts=5, first=0.1)


def note(what: str, ctx: Context) -> None:
    line = {"what": what, "job": str(ctx.job_id), "attempt": ctx.attempt, "pid": os.getpid()}
    with ledger.open("a") as file:
        file.write(json.dumps({**line, "at": time.monotonic()}) + "\n")


def begins(ctx: Context) -> bool:
    """Notes the start; whether it is the job's first."""
    note("start", ctx)
    return ledger.read_text().count(f'"start", "job": "{ctx.job_id}"') == 1


@app.task(name="hold", retry=AGAIN)
async def hold(ctx: Context, *, first: float = 0.0, again: float = 0.0, word: str = "") -> int:
    """Notes every moment that it is alive."""
    until = time.monotonic() + (first if begins(ctx) else again)
    while time.monotonic() < until:
        note("alive", ctx)
        await asyncio.sleep(0.05)
    note("end", ctx)
    return os.getpid()


@app.task(name="once", delivery="at_most_once")
async def once(ctx: Context) -> None:
    begins(ctx)
    await asyncio.sleep(60)


@app.task(name="spin", retry=AGAIN)
async def spin(ctx: Context, *, length: float) -> None:
    """Keeps the loop, but not the interpreter's lock."""
    until = time.monotonic() + (length if begins(ctx) else 0)
    while time.monotonic() < until:
        pass
    note("end", ctx)


@app.task(name="backtrack", retry=AGAIN)
async def backtrack(ctx: Context) -> None:
    """Keeps the interpreter's lock, for a day or so."""
    if begins(ctx):
        re.match(r"(a+)+$", "a" * 60 + "b")
    note("end", ctx)


@app.task(name="mother")
async def mother(ctx: Context) -> None:
    subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220 - as jobs do
    begins(ctx)
    await asyncio.sleep(60)


@app.task(name="misbehave", retry=AGAIN)
async def misbehave(ctx: Context, *, how: str, pid: int = 0) -> int:
    if not begins(ctx):
        return os.getpid()
    match how:
        case "exit":
            os._exit(0)
        case "close":
            os.closerange(3, 256)
            await asyncio.sleep(60)
        case "flood":
            for _ in range(2000):
                sys.stdout.write("x" * 1000 + "\n")
        case "fork" | "daemon":
            if os.fork() == 0:
                if how == "daemon":
                    os.setsid()
                signal.sigtimedwait([], 60)
                os._exit(0)
            if how == "daemon":
                os.kill(os.getpid(), signal.SIGKILL)
        case "end_fork":
            if (fork := os.fork()) == 0:
                signal.sigtimedwait([], 60)
                os._exit(1)
            os.kill(fork, signal.SIGTERM)
            _, status = os.waitpid(fork, 0)  # noqa: ASYNC222 - it is dead
            assert os.WTERMSIG(status) == signal.SIGTERM
        case "deafen":
            signal.signal(signal.SIGTERM, lambda *_: None)
        case "move":
            os.chdir("/")
        case "kill":
            os.kill(pid, signal.SIGKILL)
        case "scribble":
            for file in range(3, 12):
                try:
                    if os.readlink(f"/proc/self/fd/{file}").startswith(("socket:", "/memfd:")):
                        os.write(file, b"not for us\n")
                except OSError:
                    pass
            await asyncio.sleep(0.2)
    return os.getpid()


@app.task(name="tell", executor="process")
def tell(ctx: Context, *, word: str, takes: float = 0.0) -> None:
    """Logs from a process of the pool."""
    ctx.log.info("the word is %s", word)
    time.sleep(takes)


@app.task(name="linger")
async def linger() -> None:
    """Leaves a thread behind that keeps its process from ending."""
    threading.Thread(target=time.sleep, args=[600]).start()


@app.task(name="leave in silence")
async def leave_in_silence(ctx: Context, *, first: float) -> None:
    """Ends its process as if all were well, some time after its start."""
    begins(ctx)
    await asyncio.sleep(first)
    os._exit(0)
