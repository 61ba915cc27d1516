"""One child process, as its parent sees it: started, heard of, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from howdah.parent.messages import (
    Ask,
    Beat,
    Channel,
    FromChild,
    FromParent,
    Groups,
    Leaving,
    Left,
    Registered,
    Start,
    Status,
    Stop,
    channel_on,
)
from howdah.system import how_it_ended, signal_group
from howdah.worker.board import APART, HERE, anonymous_file, read_board
from howdah.worker.stopping import BEREFT

# Without the current folder on the path, where a user's queue.py would pass for Python's own.
PROGRAM = (sys.executable, "-P", "-m", "howdah.parent.program")
LAST_BREATH = 3.0  # seconds between the last word of a child that leaves, and its end
LAST_GASP = 0.5  # the same of one that never said so; to write down what broke it


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a child ended: its exit status (negative: the signal), and what ran in it."""

    status: int
    running: tuple[UUID, ...]

    @property
    def how(self) -> str:
        """For people."""
        return how_it_ended(self.status)


class Child:
    """A process that runs one worker. `start` it, `listen` to it until it has ended.

    Attributes:
        worker: its id in the store; None before it registered.
        heard_at: when it last said something, monotonic.
        quiet_until: until when it has said that it would say nothing, monotonic.
        leaving: why it says that it stops; None: it does not.
        has_left: whether the store has taken its leave: nothing is to be brought back.
        ordered: what the store has ordered it to do, whether it has heard that or not.
        refusal: why it could not start, in words; `without_database` if that was for want of one,
            `refused_for_now` if another may be let in soon.
        fenced: whether it was killed for its silence.
        overstayed: whether it was killed because it had left, and still did not end.
        blameless: whether it was killed by us, and not for what its jobs did.
        gone: set once it has ended.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: UUID | None = None
        self.started_at = self.heard_at = self.quiet_until = time.monotonic()
        self.is_loaded = self.fenced = self.blameless = self.without_database = False
        self.overstayed = self.refused_for_now = False
        self.leaving: str | None = None
        self.has_left = False
        self.ordered: str | None = None
        self.refusal: str | None = None
        self.groups: tuple[int, ...] = ()
        self.gone = asyncio.Event()
        self._board: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel[FromChild] | None = None
        self._ended: asyncio.Future[int]
        self._statuses: list[asyncio.Future[Status]] = []

    @property
    def pid(self) -> int | None:
        """Its process id; None: it could not be started."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> list[UUID]:
        """The jobs that die with it, by its board; it need not answer for that."""
        return [] if self._board is None else read_board(self._board)

    @property
    def runs(self) -> int:
        """How many jobs it runs, those in processes of their own too."""
        return 0 if self._board is None else len(read_board(self._board, HERE + APART))

    @property
    def killed_for(self) -> str | None:
        """Why its parent killed it, in words."""
        if self.overstayed:
            return f"had left, but did not end within {LAST_BREATH:g} s (threads?): killed"
        return "was killed for its silence" if self.fenced else None

    @property
    def leaves_well(self) -> bool:
        """Whether it says that it stops, and not because it cannot go on."""
        return self.leaving not in {None, BEREFT}

    @property
    def silent(self) -> float:
        """Seconds since it was last heard of, or was to be."""
        return max(0.0, time.monotonic() - max(self.heard_at, self.quiet_until))

    async def start(self, start: Start) -> None:
        """Start the process; from the main thread, since it dies with the thread that did.

        Raises OSError where the system does not give what that takes.
        """
        self._board = anonymous_file()
        ours, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a few milliseconds, from the main thread
                [*PROGRAM, str(its.fileno()), str(self._board), str(os.getpid())],
                pass_fds=(its.fileno(), self._board),
                stdin=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C is for the parent, which tells its children
            )
        try:
            self._ended = self._exit()
        except RuntimeError as error:  # there is a limit to threads, too
            ours.close()
            self.kill()
            self._process.wait()
            raise OSError(str(error)) from error
        ours.setblocking(False)
        self._channel = await channel_on(ours, FromChild)
        self.tell(start)

    def tell(self, message: FromParent) -> None:
        """Send it a message."""
        if self._channel is not None and not self.gone.is_set():
            self._channel.send(message)

    def stop(self, why: str, *, hurry: bool = False) -> None:
        """Have it stop; one that is still loading would not hear, and holds nothing."""
        self.tell(Stop(why=why, hurry=hurry))
        if not self.is_loaded:
            self.leaving = why
            self.kill(blameless=True)

    async def listen(self, heard: Callable[[Child, FromChild], None]) -> Death:
        """Take its messages until it has ended, and end what it left behind."""
        ended = self._ended
        reading = asyncio.ensure_future(self._read(heard))
        both: set[asyncio.Future[Any]] = {ended, reading}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        # One may come without the other: a job may close the channel, or a fork of it keep it open.
        is_going = self.leaving is not None or self.refusal is not None
        await asyncio.wait(both, timeout=LAST_BREATH if is_going else LAST_GASP)
        self.overstayed = self.has_left and not ended.done()
        self.kill()
        status = await ended
        reading.cancel()
        await asyncio.wait({reading})
        if not reading.cancelled():
            reading.result()
        return Death(status=status, running=() if self.blameless else tuple(self.running))

    def close(self) -> None:
        """It has ended, or never began."""
        for future in self._statuses:
            future.cancel()
        if self._channel is not None:
            self._channel.close()
        if self._board is not None:
            os.close(self._board)
            self._board = None
        self.gone.set()

    async def _read(self, heard: Callable[[Child, FromChild], None]) -> None:
        assert self._channel is not None
        while (message := await self._channel.receive()) is not None:
            self.heard_at = time.monotonic()
            self._take(message)
            heard(self, message)

    def _take(self, message: FromChild) -> None:
        self.is_loaded = True
        if isinstance(message, Registered):
            self.worker = message.worker
        elif isinstance(message, Groups):
            self.groups = message.ids
        elif isinstance(message, Beat):
            self.quiet_until = self.heard_at + message.quiet
        elif isinstance(message, Leaving):
            self.leaving = message.why
        elif isinstance(message, Left):
            self.has_left = True
        elif isinstance(message, Status):
            for future in self._statuses:
                if not future.done():
                    future.set_result(message)
            self._statuses.clear()

    def kill(self, *, blameless: bool = False) -> None:
        """End it at once, and all that it started; blameless: no crash counts for its jobs."""
        if self.gone.is_set():
            return
        self.blameless = self.blameless or blameless
        _kill_groups(self.groups)
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def status(self, within: float) -> dict[str, object]:
        """What it says of itself; if it does not answer, for how long it has been silent."""
        known: dict[str, object] = {"number": self.number, "pid": self.pid}
        answer: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._statuses.append(answer)
        self.tell(Ask())
        with suppress(TimeoutError, asyncio.CancelledError):
            return {**known, **(await asyncio.wait_for(answer, within)).status}
        return {**known, "silent": round(self.silent, 3)}

    def _exit(self) -> asyncio.Future[int]:
        """Its exit status, waited for in a thread; what it left behind is killed before that."""
        loop = asyncio.get_running_loop()
        status: asyncio.Future[int] = loop.create_future()

        def wait() -> None:
            assert self._process is not None
            if hasattr(os, "waitid"):  # while nobody has reaped it, its group is not another's
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
                _kill_groups((*self.groups, self._process.pid))
            code = self._process.wait()
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(_settle, status, code)

        threading.Thread(target=wait, name=f"howdah child {self.number}", daemon=True).start()
        return status


def _settle(status: asyncio.Future[int], code: int) -> None:
    if not status.done():
        status.set_result(code)


def _kill_groups(groups: tuple[int, ...]) -> None:
    for group in groups:
        signal_group(group, signal.SIGKILL)
