"""The same app with jobs that harm their process, or do not end when they are told to."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from ctypes import string_at

from jobs import app, note

from howdah import Context, Retry

__all__ = ["app"]
often = Retry(max_attempts=10, first=0.1)
thrice = Retry(max_attempts=3, first=0.1)  # what is only late, and kills nobody, follows its policy


def exits() -> None:
    os._exit(7)


def segfaults() -> None:
    string_at(0)


def holds_the_gil() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def kills() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def everywhere(do: Callable[[], None], *, timeout: float = 60.0) -> None:
    """Declare it three times: as a coroutine, in a thread, and in a process of its own."""

    async def on_loop(ctx: Context) -> None:
        note("start", ctx)
        do()

    def elsewhere(ctx: Context) -> None:
        note("start", ctx)
        do()

    named, rules = do.__name__, {"timeout": timeout, "retry": often}
    app.task(name=f"{named}_on_loop", **rules)(on_loop)
    app.task(name=f"{named}_in_thread", **rules)(elsewhere)
    app.task(name=f"{named}_in_process", executor="process", **rules)(elsewhere)


everywhere(exits)
everywhere(segfaults)
everywhere(kills)
everywhere(holds_the_gil, timeout=8)


@app.task(executor="process", name="kills_its_parent_in_process")
def kills_its_parent(ctx: Context) -> None:
    note("start", ctx)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


@app.task(executor="process", name="eats_memory_in_process")
def eats_memory(ctx: Context) -> None:
    note("start", ctx)
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * 2**20))


@app.task(name="is_deaf_on_loop", timeout=2, retry=thrice)
async def is_deaf_on_loop(ctx: Context) -> None:
    note("start", ctx)
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            note("deaf", ctx)


@app.task(name="is_deaf_in_thread", timeout=2, retry=thrice)
def is_deaf_in_thread(ctx: Context) -> None:
    note("start", ctx)
    while True:
        if ctx.wait_cancelled(600):
            note("deaf", ctx)
            time.sleep(600)


@app.task(name="is_deaf_in_process", timeout=2, executor="process", retry=often)
def is_deaf_in_process(ctx: Context) -> None:
    note("start", ctx)
    signal.signal(signal.SIGTERM, lambda *_: note("deaf", ctx))
    while True:
        time.sleep(600)
