"""Tasks for processes, most of them bad company. A module, so that other processes can have it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from howdah import App, Context, Fail, Retry, Snooze
from howdah.worker import wire


@contextlib.contextmanager
def opened(_: App) -> Iterator[dict[str, Any]]:
    yield {"pid": os.getpid(), "uses": 0}


app = App(lifespan=opened)
once = Retry(max_attempts=1)
often = Retry(max_attempts=10, first=0.01, jitter=0.0)


def note(file: str, what: object) -> None:
    with Path(file).open("a") as notes:
        notes.write(f"{what}\n")


@app.task(executor="process", retry=once)
def pid(ctx: Context) -> list[int]:
    ctx.resources["uses"] += 1
    return [os.getpid(), os.getpgid(0), os.getppid(), ctx.resources["pid"], ctx.resources["uses"]]


@app.task(executor="process", retry=once)
def counting(ctx: Context, last: int) -> None:
    for n in range(last):
        ctx.progress(n + 1, last)
    time.sleep(30)


@app.task(executor="process", retry=once)
def signals_its_group(name: str) -> str:
    """Has a handler for what it sends to itself and its children."""
    heard: list[int] = []
    signal.signal(signal.Signals[name], lambda number, _: heard.append(number))
    os.killpg(0, signal.Signals[name])
    time.sleep(0.3)  # whoever else is in it hears it too
    signal.signal(signal.Signals[name], signal.SIG_DFL)
    return signal.Signals(heard.pop()).name


@app.task(executor="process", retry=once)
async def on_loop(ctx: Context) -> list[Any]:
    is_main = threading.current_thread() is threading.main_thread()
    return [ctx.resources["pid"], is_main]


@app.task(executor="process", retry=once)
def loop_of_its_own() -> str:
    async def inner() -> str:
        return threading.current_thread().name

    return asyncio.run(inner())


@app.task(executor="process", retry=once)
def rests(seconds: float, notes: str) -> int:
    note(notes, os.getpid())
    time.sleep(seconds)
    return os.getpid()


@app.task(executor="process", retry=once)
async def rests_on_loop(seconds: float, notes: str) -> int:
    note(notes, os.getpid())
    await asyncio.sleep(seconds)
    return os.getpid()


@app.task(executor="process", retry=once)
def echo(what: Any) -> Any:
    return what


@app.task
async def innocent() -> int:
    return os.getpid()


@app.task(executor="process")
def harmless() -> int:
    return os.getpid()


@app.task(executor="process", retry=once)
def burn(rounds: int) -> int:
    total = 0
    for n in range(rounds):
        total += n * n
    return total


@app.task(executor="process", retry=once)
def tell(words: str) -> None:
    """Raises what it is told to."""
    if words == "SystemExit":
        raise SystemExit(3)
    if words == "KeyboardInterrupt":
        raise KeyboardInterrupt
    if words == "Snooze":
        raise Snooze(3600)
    if words == "Fail":
        raise Fail("declined", {"code": 51})
    raise ValueError(words)


@app.task(executor="process", timeout=0.5, retry=once)
def with_family(notes: str) -> None:
    """Sleeps too long, and so does its grandchild, which is deaf to SIGTERM."""
    child = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    child += f"; open({notes!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", child], close_fds=False)
    note(notes, os.getpid())
    time.sleep(60)


@app.task(executor="process", timeout=1.0, retry=once)
def tidy(ctx: Context, notes: str) -> None:
    try:
        time.sleep(60)
    finally:
        note(notes, f"tidied, cancelled={ctx.cancelled}")


@app.task(executor="process", timeout=1.0, retry=once)
async def tidy_on_loop(ctx: Context, notes: str) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        note(notes, f"tidied, cancelled={ctx.cancelled}")


@app.task(executor="process", retry=once)
async def takes_the_signal() -> int:
    signal.signal(signal.SIGTERM, lambda *_: None)
    return os.getpid()


@app.task(executor="process", retry=once)
async def takes_the_signal_and_the_next_ones_time() -> None:
    await takes_the_signal.function()
    asyncio.get_running_loop().call_later(0.01, time.sleep, 0.8)


class LosesTheFirstTwo:
    """In place of the process's own handler, as which it passes; as a sleeping thread may."""

    def __init__(self):
        self.handler, self.lost = signal.getsignal(signal.SIGTERM), 0

    __hash__ = None

    def __eq__(self, other):
        return other == self.handler

    def __call__(self, *args):
        if self.lost < 2:
            self.lost += 1
        else:
            self.handler(*args)


@app.task(executor="process", timeout=1.0, retry=once)
def loses_two_signals(notes: str) -> None:
    signal.signal(signal.SIGTERM, LosesTheFirstTwo())
    try:
        time.sleep(60)
    finally:
        note(notes, "tidied")


@app.task(executor="process", timeout=1.0, retry=once)
def does_not_hear_for_a_while(notes: str) -> None:
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1.3)
    signal.signal(signal.SIGTERM, handler)
    try:
        time.sleep(60)
    finally:
        note(notes, "tidied")


@app.task(executor="process", timeout=0.3, retry=once)
async def sleeps() -> None:
    await asyncio.sleep(60)


@app.task(executor="process", retry=once)
async def grows(ctx: Context, steps: int) -> None:
    assert ctx.workflow is not None
    for n in range(steps):
        ctx.workflow.add(f"step {n}", echo.options(delay=3600).job("x" * 1_000_000))


@app.task(executor="process", retry=once)
def says_too_much() -> str:
    wire.LONGEST_ANSWER = 1000
    return "x" * 1000


@app.task(executor="process", timeout=0.3, retry=once)
async def blocks_its_loop(notes: str) -> None:
    try:
        while True:
            sum(range(1000))
    finally:
        await asyncio.sleep(0.01)
        note(notes, "tidied")


@app.task(executor="process", timeout=0.3, retry=once)
def deaf(notes: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(notes, os.getpid())
    while True:
        time.sleep(60)


@app.task(executor="process", timeout=60, retry=once)
def long(notes: str, seconds: float = 60.0) -> str:
    note(notes, os.getpid())
    time.sleep(seconds)
    return "done"


@app.task(executor="process", timeout=0.6, retry=once)
async def asks_for_more() -> float:
    ctx = _context()
    await ctx.extend(20)
    await asyncio.sleep(1)
    return ctx.remaining or 0.0


@app.task(executor="process", timeout=0.6, retry=once)
def asks_for_more_in_main(ctx: Context) -> float:
    ctx.extend_sync(20)
    time.sleep(1)
    return ctx.remaining or 0.0


@app.task(executor="process", retry=once)
def has_lost_its_lease(ctx: Context, notes: str) -> None:
    note(notes, ctx.fence)
    while len(Path(notes).read_text().split()) < 2:
        time.sleep(0.01)
    try:
        ctx.extend_sync(20)
    except Exception as error:
        note(notes, type(error).__name__)


def _context() -> Context:
    from howdah import current

    found = current()
    assert found is not None
    return found


# What kills its process


@app.task(executor="process", timeout=0.4, retry=often)
def poison(kind: str, notes: str) -> None:
    note(notes, kind)
    POISONS[kind]()


@app.task(timeout=0.4, retry=often)
async def poison_on_loop(kind: str, notes: str) -> None:
    note(notes, kind)
    POISONS[kind]()


def _eats_memory() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(16 * 1024 * 1024))


def _is_deaf() -> None:
    deque(itertools.repeat(0), maxlen=0)  # looks at no signal, and keeps the interpreter


def _keeps_the_gil() -> None:
    re.match(r"(a*)*b", "a" * 40)


def _kills_its_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def _fills_its_pipe() -> None:
    for fd in _pipe_of_ours():
        os.write(fd, b"\xff garbage\n")
    time.sleep(60)


def _closes_all() -> None:
    os.closerange(3, 1000)
    time.sleep(60)


def _pipe_of_ours() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
    return found


POISONS = {
    "exits": lambda: os._exit(3),
    "segfaults": lambda: ctypes.string_at(0),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "kills its parent": _kills_its_parent,
    "eats memory": _eats_memory,
    "keeps the GIL": _keeps_the_gil,
    "is deaf": _is_deaf,
    "writes garbage": _fills_its_pipe,
    "closes everything": _closes_all,
}


@app.task(executor="process", retry=once)
def leaves_an_orphan(notes: str) -> None:
    note(notes, subprocess.Popen(["sleep", "60"], close_fds=False).pid)
    os._exit(1)


# What must not break anything


@app.task(executor="process", retry=once)
def misbehaves(kind: str) -> str:
    MISBEHAVIOUR[kind]()
    return kind


def _forks() -> None:
    if os.fork() == 0:
        with contextlib.suppress(OSError):
            os.fstat(int(sys.argv[1]))
            os._exit(1)  # the pipe is open in a fork
        return  # as if it were the job
    _, status = os.wait()
    assert status == 0


def _leaves_a_child() -> None:
    subprocess.Popen(["sleep", "60"], close_fds=False, start_new_session=True)


def _prints() -> None:
    os.write(1, bytes(range(256)))
    sys.stdout.write("\x00 \x1b[2J")
    sys.stdout.flush()
    assert sys.stdin.read() == ""


def _changes_folder() -> None:
    os.chdir("/")
    os.environ["HOWDAH_SCHEMA"] = "elsewhere"


MISBEHAVIOUR = {
    "forks": _forks,
    "leaves a child": _leaves_a_child,
    "prints": _prints,
    "changes folder": _changes_folder,
}


_hoard: list[bytearray] = []


@app.task(executor="process", retry=once)
def hoards(mebibytes: int) -> list[int]:
    _hoard.append(bytearray(b"x") * (mebibytes * 1024 * 1024))
    return [os.getpid(), resource.getrlimit(resource.RLIMIT_DATA)[0] // 1024 // 1024]
