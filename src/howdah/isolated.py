"""The program of a process of the pool: loads the app, then attempts the jobs it is given, one by
one. Started by a worker with the number of an inherited socket; all else is said there.

Two event loops: one in the main thread, where coroutines run; one in a thread beside it, which
talks to the worker while the main thread is busy. Plain functions run in the main thread while its
loop stands still, so that they may have loops of their own, and signals reach them.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from howdah.errors import DatabaseError, LeaseLost
from howdah.logs import write_logs
from howdah.outcome import Outcome
from howdah.rows import Note
from howdah.source import Source
from howdah.system import die_with_parent, hear_of_children, shelter_parent
from howdah.worker.attempt import Attempt
from howdah.worker.lifespan import Lifespan
from howdah.worker.means import Means
from howdah.worker.pipe import (
    LONGEST_ANSWER,
    Hello,
    Interrupt,
    Noted,
    Perform,
    Ready,
    done,
    read_by_process,
)
from howdah.worker.threads import MainThread
from howdah.worker.transactions import Transactions
from howdah.worker.wire import Wire

if TYPE_CHECKING:
    from howdah.app import App

MIB = 1024 * 1024
AGAIN = 0.05  # seconds until a signal that was not heard is sent again
TOO_LONG = f"with its cursor and new steps it takes more than {LONGEST_ANSWER // MIB} MiB"
Work = Callable[[], None]


def main() -> None:
    """Run until the pipe ends."""
    die_with_parent()
    hear_of_children()
    shelter_parent(file := int(sys.argv[1]))
    pipe = socket.socket(fileno=file)
    pipe.set_inheritable(False)
    with pipe.makefile("rb") as lines:
        hello = lines.readline()
    said = read_by_process(hello) if hello else None
    if not isinstance(said, Hello):
        sys.exit(1)
    Isolated(pipe, said).run()


class Isolated:
    """What this process is: the app, its pipe, and the attempt that runs now."""

    def __init__(self, pipe: socket.socket, hello: Hello) -> None:
        self._hello, self._pid = hello, os.getpid()
        self._attempt: Attempt | None = None
        self._jobs, self._is_working, self._was_blocking = 0, False, False
        self._is_ticking = self._is_told = False
        self._latest: Note | None = None
        self._main = asyncio.Runner()
        self._inbox: asyncio.Queue[Attempt | Work | None] = asyncio.Queue()
        self._wire = Wire(pipe, self._heard, self._end)
        self._transactions = Transactions(hello.settings, size=1)
        self._means = Means(
            threads=MainThread(self._give, self._check),
            transactions=self._transactions,
            extend=self._extend,
            progress=self._note,
            memory=hello.settings.process_memory,
        )
        self._app: App
        self._lifespan: Lifespan

    def run(self) -> None:
        """Load, say so, and work."""
        self._hear_interrupts()
        os.register_at_fork(after_in_child=self._wire.cut)
        loop = self._main.get_loop()
        try:
            self._lifespan = self._loaded()
            self._means.resources = self._main.run(self._lifespan.open())
        except BaseException as error:
            self._wire.begin(Ready(error=_said(error)))
            sys.exit(1)
        self._wire.begin(Ready())
        self._wire.listen()
        while (work := loop.run_until_complete(self._next())) is not None:
            self._work(work)
        self._main.run(self._transactions.close())
        self._main.run(self._lifespan.close())
        self._main.close()

    def _loaded(self) -> Lifespan:
        hello = self._hello
        sys.path[:] = hello.path
        if hello.logs is not None:
            write_logs(as_json=hello.logs == "json")
        if (most := hello.settings.process_memory) is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            soft = most * MIB if hard == resource.RLIM_INFINITY else min(most * MIB, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        self._app = app = msgspec.json.decode(hello.source, type=Source).load()
        app.use(hello.settings)
        return Lifespan(None if app.lifespan is None else partial(app.lifespan, app))

    # In the main thread

    async def _next(self) -> Work | None:
        """Run coroutines until there is work for the bare thread; None: that was all."""
        while True:
            work = await self._inbox.get()
            if not isinstance(work, Attempt):
                return work
            self._hear_interrupts()
            work.handle = asyncio.create_task(work.run())
            if work.stopping is not None:
                work.handle.cancel()
            await asyncio.wait({work.handle})
            self._stay_alone()
            self._wire.soon(self._finish, work)

    def _work(self, work: Work) -> None:
        self._hear_interrupts()
        self._is_working = True
        try:
            contextvars.copy_context().run(work)
        except asyncio.CancelledError:  # interrupted as it ended: nobody will hear what it did
            os._exit(128 + signal.SIGTERM)
        finally:
            self._is_working = False
        self._stay_alone()

    def _hear_interrupts(self) -> None:
        """From now on, whatever the job before has done to the signal; and what it has missed."""
        signal.signal(signal.SIGTERM, self._interrupted)
        if self._is_told:
            self._interrupted(signal.SIGTERM, None)

    def _check(self) -> None:
        """Before a plain function: it may have been interrupted while it waited."""
        if self._attempt is not None and self._attempt.stopping is not None:
            raise asyncio.CancelledError

    def _stay_alone(self) -> None:
        """A job's fork that comes back from the job is not another one of us."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _interrupted(self, number: int, _: object) -> None:
        """The worker wants an end of it: cancel the coroutine, or raise where it runs.

        A service manager may send SIGTERM to all processes of a service: whose job runs on until
        the worker says so stays with the worker.
        """
        if os.getpid() != self._pid:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        attempt = self._attempt
        if attempt is None or not self._is_told or attempt.stopping is not None:
            return
        self._was_blocking |= self._wire.is_starved
        if attempt.where == "thread":
            attempt.stop("lost")
            if self._is_working:
                raise asyncio.CancelledError
            return
        loop = self._main.get_loop()
        if attempt.handle is not None and asyncio.current_task(loop) is attempt.handle:
            self._was_blocking = True
            attempt.tell(lambda _: None)  # or its next await would be cancelled, too
            attempt.stop("lost")
            raise asyncio.CancelledError
        loop.call_soon_threadsafe(attempt.stop, "lost")

    # In the thread beside

    def _heard(self, message: Perform | Interrupt) -> None:
        if isinstance(message, Interrupt):
            self._is_told = True
            if self._attempt is not None:
                self._interrupt(self._attempt)
        else:
            self._begin(message)

    def _interrupt(self, attempt: Attempt, *, again: bool = False) -> None:
        """The signal until it is heard: the first may have come before the word, and one that comes
        in the moment before the main thread falls asleep does not wake it. A handler of the job's
        own hears it once.
        """
        if attempt is not self._attempt or attempt.stopping is not None:
            return
        if not again or signal.getsignal(signal.SIGTERM) == self._interrupted:
            os.kill(self._pid, signal.SIGTERM)
        asyncio.get_running_loop().call_later(AGAIN, partial(self._interrupt, attempt, again=True))

    def _begin(self, message: Perform) -> None:
        task = self._app.tasks.get(message.job.task)
        on_loop = task is None or inspect.iscoroutinefunction(task.function)
        where = "loop" if on_loop else "thread"
        self._attempt = attempt = Attempt(message.job, task, self._means, where)
        if self._lifespan.has_ended:  # while nothing ran here: another process is to run it
            why = self._lifespan.broke or RuntimeError("it was left")
            self._tell(attempt, attempt.not_now("process", f"the app's lifespan ended: {why!r}"))
            return
        self._jobs += 1
        self._is_told = False
        if not self._is_ticking:
            self._wire.tick(self._goes_on)
        if on_loop:
            self._give(attempt)
        else:
            attempt.tell(lambda _: None)  # what interrupts it is the signal
            attempt.handle = asyncio.create_task(attempt.run())
            attempt.handle.add_done_callback(lambda _: self._finish(attempt))

    def _goes_on(self) -> bool:
        note, self._latest = self._latest, None
        if note is not None:
            self._wire.say(Noted(note=note))
        self._is_ticking = self._attempt is not None
        return self._is_ticking

    def _finish(self, attempt: Attempt) -> None:
        handle = attempt.handle
        assert handle is not None
        if handle.cancelled():
            outcome = attempt.stopped()
        elif (error := handle.exception()) is not None:
            outcome = attempt.broken(error)
        else:
            outcome = handle.result()
        self._tell(attempt, outcome)

    def _tell(self, attempt: Attempt, outcome: Outcome) -> None:
        self._attempt, self._latest = None, None
        worn = outcome.kind == "crashed" or self._is_worn()
        said = partial(
            done, is_stored=attempt.is_stored, was_blocking=self._was_blocking, is_worn=worn
        )
        if not self._wire.say(said(outcome)):
            self._wire.say(said(attempt.bad_result(TOO_LONG)))

    def _is_worn(self) -> bool:
        settings = self._hello.settings
        if self._jobs >= settings.process_max_jobs or self._lifespan.has_ended:
            return True
        most = settings.process_memory
        return most is not None and _resident() > most * MIB * 3 // 4

    def _give(self, work: Attempt | Work | None) -> None:
        self._main.get_loop().call_soon_threadsafe(self._inbox.put_nowait, work)

    def _end(self) -> None:
        """The pipe has ended: leave, or if a job runs take everything down at once."""
        if self._attempt is not None:
            os.killpg(0, signal.SIGKILL)
        self._give(None)

    # From either

    def _note(self, note: Note) -> None:
        """With the next tick of the wire: a task may say it in every step of a loop."""
        self._latest = note

    async def _extend(self, _: Attempt, duration: float) -> None:
        answer = await asyncio.wrap_future(self._wire.ask(duration))
        if answer.error is not None:
            raise (LeaseLost if answer.is_lost else DatabaseError)(answer.error)


def _resident() -> int:
    """Bytes of memory that this process takes now; where that cannot be known, at most took."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


if __name__ == "__main__":
    main()
