"""One process of the pool, from the worker's side: started, talked to, interrupted, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from howdah.errors import LeaseLost
from howdah.system import how_it_ended, signal_group
from howdah.worker.attempt import GRACE
from howdah.worker.pipe import (
    LONGEST_ANSWER,
    Done,
    Extend,
    Extended,
    Hello,
    Interrupt,
    Message,
    Noted,
    Perform,
    Ready,
    line,
    read_by_worker,
)

if TYPE_CHECKING:
    from howdah.worker.attempt import Attempt

LINGER = 0.2  # seconds in which the pipe of a dead process must have run dry
PROGRAM = "howdah.isolated"


class NoProcess(Exception):
    """A process could not be started, or could not load the app."""


class Pooled:
    """A process that leads a group of its own, which ends with it, and runs one job at a time.

    It is started and waited for by a thread that lives as long as it does: Linux kills it when
    that thread ends, and so when the worker dies, however that may be.

    Attributes:
        pid: of the process, and of its group; None before it was started.
        attempt: what it runs now; not replaced while another thread looks whether it is overdue.
        is_leaving: whether it was let go.
    """

    def __init__(self, ended: Callable[[Pooled], None]) -> None:
        self.pid: int | None = None
        self._attempt: Attempt | None = None
        self.is_leaving = self._is_killed = False
        self._ended = ended
        self._guard = threading.RLock()  # nobody signals a group whose leader has been waited for
        self._is_gone = False
        self._why = ""
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._extending: set[asyncio.Task[None]] = set()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    # Its life

    async def start(self, hello: Hello) -> None:
        """Until it has loaded the app; raises NoProcess with what went wrong."""
        loop = asyncio.get_running_loop()
        spawned: asyncio.Future[int] = loop.create_future()
        try:
            ours, theirs = socket.socketpair()
            self._reader, self._writer = await asyncio.open_unix_connection(
                sock=ours, limit=LONGEST_ANSWER
            )
            self._start_living(theirs, loop, spawned)
            self.pid = await spawned
        except (OSError, RuntimeError) as error:  # too many files, threads or processes
            raise NoProcess(f"cannot start a process: {error}") from error
        self._say(hello)
        said = await self._heard()
        if not isinstance(said, Ready):
            raise NoProcess(f"while it loaded the app, {await self.crash()}")
        if said.error is not None:
            raise NoProcess(said.error)

    def _start_living(self, theirs: socket.socket, *told: Any) -> None:
        thread = threading.Thread(
            target=self._live, args=(theirs, *told), name="howdah process", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            theirs.close()
            self._writer.close()
            raise

    def _live(
        self, theirs: socket.socket, loop: asyncio.AbstractEventLoop, spawned: asyncio.Future[int]
    ) -> None:
        """Start it, wait for its end, and end what is left of its group."""
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", PROGRAM, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    process_group=0,
                )
        except Exception as error:
            _soon(loop, self._writer.close)
            _soon(loop, _set_error, spawned, error)
            return
        _soon(loop, _set, spawned, process.pid)
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        else:
            process.wait()
        with self._guard:
            signal_group(process.pid, signal.SIGKILL)
            self._is_gone = True
        _soon(loop, self._has_ended, process.wait())

    def _has_ended(self, code: int) -> None:
        if self.attempt is None:
            self._writer.close()
        else:  # whoever has left the group may hold the pipe open: what was said by now is all
            asyncio.get_running_loop().call_later(LINGER, self._writer.transport.abort)
        _set(self._code, code)
        self._ended(self)

    @property
    def attempt(self) -> Attempt | None:
        """See above."""
        return self._attempt

    @attempt.setter
    def attempt(self, attempt: Attempt | None) -> None:
        with self._guard:
            self._attempt = attempt

    @property
    def is_usable(self) -> bool:
        """Whether nobody has killed it, and its pipe is open at the other end."""
        return not self._is_killed and not self._reader.at_eof()

    def interrupt(self) -> None:
        """SIGTERM to its group, and the word that it is meant: the job's `finally` blocks run."""
        self._say(Interrupt())
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to its group. May be called from any thread."""
        self._is_killed = True
        self._signal(signal.SIGKILL)

    def kill_when_overdue(self) -> None:
        """The same if its attempt should long have ended. May be called from any thread."""
        with self._guard:
            attempt = self.attempt
            if attempt is None:
                return
            due = attempt.ends_at if attempt.stopping is None else attempt.stopped_at
            if due is not None and time.monotonic() > due + GRACE:
                self.kill()

    def let_go(self) -> None:
        """Let it end by itself: it leaves the app's lifespan when its pipe ends."""
        self.is_leaving = True
        self._writer.close()

    async def gone(self) -> int:
        """Wait for its end; gives its exit status, or minus the signal that killed it."""
        code = await asyncio.shield(self._code)
        self._writer.close()
        return code

    async def crash(self) -> str:
        """What became of it, who has stopped talking, in words."""
        try:
            code = await asyncio.wait_for(self.gone(), 0 if self._why else GRACE)
        except TimeoutError:
            self._why = self._why or "its process closed its pipe to the worker"
            self.kill()
            code = await self.gone()
        return self._why or death(code)

    def _signal(self, number: signal.Signals) -> None:
        with self._guard:
            if self.pid is not None and not self._is_gone:
                signal_group(self.pid, number)

    # Talking

    async def perform(self, attempt: Attempt) -> Done | None:
        """Have it run an attempt; None when it died of it."""
        self._say(Perform(job=attempt.job))
        while isinstance(said := await self._heard(), Extend | Noted):
            if isinstance(said, Noted):
                if attempt.means.progress is not None:
                    attempt.means.progress(said.note)
                continue
            asked = asyncio.create_task(self._extend(attempt.extend, said))
            self._extending.add(asked)
            asked.add_done_callback(self._extending.discard)
        return said if isinstance(said, Done) else None

    async def _extend(self, more: Callable[[float], Awaitable[None]], asked: Extend) -> None:
        try:
            await more(asked.duration)
        except LeaseLost as error:
            self._say(Extended(n=asked.n, error=str(error), is_lost=True))
        except Exception as error:
            self._say(Extended(n=asked.n, error=str(error) or type(error).__name__))
        else:
            self._say(Extended(n=asked.n))

    def _say(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(line(message))

    async def _heard(self) -> Ready | Extend | Noted | Done | None:
        """What it says next; None when that is nothing, or nothing that makes sense."""
        try:
            text = await self._reader.readline()
            return read_by_worker(text) if text else None
        except OSError:
            return None
        except ValueError:  # no message, or too long for one
            self._why = "its process wrote into its pipe to the worker"
            return None


def death(code: int) -> str:
    """How a process ended, in words."""
    hint = ": out of memory?" if code == -signal.SIGKILL else ""
    return f"its process {how_it_ended(code)}{hint}"


def _soon(loop: asyncio.AbstractEventLoop, do: Callable[..., None], *args: object) -> None:
    with suppress(RuntimeError):  # the loop has ended, and the worker with it
        loop.call_soon_threadsafe(do, *args)


def _set(future: asyncio.Future[int], value: int) -> None:
    if not future.done():
        future.set_result(value)


def _set_error(future: asyncio.Future[int], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
