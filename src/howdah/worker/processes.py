"""The pool: processes that run one job at a time each, and are replaced when they were killed,
died, or are worn out."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable

import msgspec

from howdah.events import Events, ProcessFailed
from howdah.jobs import storable
from howdah.logs import chosen_format
from howdah.outcome import Crashed, Hung, Outcome, Released, Snoozed
from howdah.settings import Settings
from howdah.system import usable_cores
from howdah.worker.attempt import GRACE, Attempt
from howdah.worker.pipe import Done, Hello
from howdah.worker.pooled import NoProcess, Pooled

START_WITHIN = 60.0  # seconds to load the app and open its lifespan
CLOSE_WITHIN = 5.0  # seconds to leave the lifespan
SPARE_FOR = 5.0  # seconds that more processes are kept than were asked for
LONGEST_REST = 60.0  # seconds between two tries to start a process


class Processes:
    """Runs attempts in processes of their own, started when they are first needed.

    `rests` is called with the seconds for which no process will be started, after one failed to.

    Attributes:
        size: how many processes are kept.
        on_groups: called with the process groups whenever they change: whoever outlives the worker
            can kill them.
    """

    def __init__(
        self,
        settings: Settings,
        events: Events,
        *,
        source: Callable[[], msgspec.Struct],
        rests: Callable[[float], None],
    ) -> None:
        self._settings, self._events, self._source, self._rests = settings, events, source, rests
        self.size = slots_of(settings)
        self.on_groups: Callable[[frozenset[int]], None] | None = None
        self._all: set[Pooled] = set()
        self._idle: list[Pooled] = []
        self._starting: set[asyncio.Task[Pooled]] = set()
        self._failures, self._rest_until = 0, 0.0
        self._is_closed = False
        self._hello: Hello

    def find_app(self) -> None:
        """Learn where the app is; raises BadInput when another process cannot have it."""
        self._hello = Hello(
            source=msgspec.Raw(msgspec.json.encode(self._source())),
            settings=self._settings,
            path=[*sys.path],
            logs=chosen_format(),
        )

    @property
    def groups(self) -> frozenset[int]:
        """The process groups that live now."""
        return frozenset(process.pid for process in tuple(self._all) if process.pid is not None)

    def status(self) -> list[dict[str, object]]:
        """Each process, and the job it runs, for people."""
        return [
            {"pid": process.pid, "job": str(process.attempt.job.id) if process.attempt else None}
            for process in self._all
        ]

    def kill_overdue(self) -> None:
        """Kill what should long have ended, even if the event loop is blocked: from any thread."""
        for process in tuple(self._all):
            process.kill_when_overdue()

    async def close(self) -> None:
        """Let all processes end; kill those that do not, and those that run something."""
        self._is_closed = True
        for process in [*self._all]:
            if process in self._idle:
                process.let_go()
            else:
                process.kill()
        self._idle.clear()
        ends = [asyncio.ensure_future(process.gone()) for process in self._all]
        if ends:
            _, pending = await asyncio.wait(ends, timeout=CLOSE_WITHIN)
            for process in self._all:
                process.kill()
            if pending:
                await asyncio.wait(pending, timeout=GRACE)

    # One attempt

    async def run(self, attempt: Attempt) -> Outcome:
        """What came of it. Its time counts from when a process takes it."""
        attempt.wait()
        try:
            process = await self._free()
        except asyncio.CancelledError:
            return attempt.stopped() if attempt.stopping == "cancel" else _back(attempt)
        except NoProcess as error:
            wait = max(0.0, self._rest_until - time.monotonic())
            said = storable(f"no process could be started: {error}")
            return attempt.end(Snoozed, error=said, reason="no process", retry_in=wait)
        attempt.begin()
        process.attempt = attempt
        attempt.tell(lambda _: self._interrupt(process, attempt))
        try:
            done = await process.perform(attempt)
            return await self._judged(process, attempt, done)
        finally:
            attempt.tell(lambda _: None)
            process.attempt = None

    def _interrupt(self, process: Pooled, attempt: Attempt) -> None:
        process.interrupt()
        asyncio.get_running_loop().call_later(GRACE, self._kill, process, attempt)

    def _kill(self, process: Pooled, attempt: Attempt) -> None:
        if process.attempt is attempt:
            process.kill()

    async def _judged(self, process: Pooled, attempt: Attempt, done: Done | None) -> Outcome:
        if attempt.stopping is not None:
            process.kill()  # whatever it may have left behind
            await process.gone()
            if done is None or done.type is Released or attempt.stopping == "timeout":
                return _stopped(attempt, done)
        if done is None:
            return attempt.end(Crashed, error=await process.crash(), reason="crashed")
        if attempt.stopping is None:
            self._put_back(process, is_worn=done.is_worn)
        attempt.is_stored = done.is_stored
        return attempt.end(done.type, **done.facts)

    # Processes that come and go

    async def _free(self) -> Pooled:
        while self._idle:
            if (process := self._idle.pop()).is_usable:
                return process
        if self._rest_until > time.monotonic():
            raise NoProcess("the last one failed a moment ago")
        start = asyncio.create_task(self._start())
        self._starting.add(start)
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:  # it is there for the next
            start.add_done_callback(self._keep)
            raise
        finally:
            self._starting.discard(start)

    async def _start(self) -> Pooled:
        process = Pooled(self._ended)
        self._all.add(process)
        try:
            async with asyncio.timeout(START_WITHIN):
                await process.start(self._hello)
        except (NoProcess, TimeoutError) as error:
            process.kill()
            self._all.discard(process)
            problem = str(error) or f"it did not load the app within {START_WITHIN:g} s"
            self._rest(problem)
            raise NoProcess(problem) from error
        self._failures = 0
        self._tell_groups()
        return process

    def _rest(self, problem: str) -> None:
        if self._is_closed:
            return
        rest = min(LONGEST_REST, 2.0**self._failures) * random.uniform(0.75, 1.0)
        self._failures += 1
        self._rest_until = time.monotonic() + rest
        self._rests(rest)
        self._events.emit(ProcessFailed(error=problem, again_in=rest))

    def _keep(self, start: asyncio.Task[Pooled]) -> None:
        if not start.cancelled() and start.exception() is None:
            self._put_back(start.result(), is_worn=self._is_closed)

    def _put_back(self, process: Pooled, *, is_worn: bool) -> None:
        if process not in self._all:
            return
        if is_worn or self._is_closed:
            self._let_go(process)
            return
        self._idle.append(process)
        if self._has_too_many():  # for suspects, of which there may be more
            asyncio.get_running_loop().call_later(SPARE_FOR, self._let_one_go)

    def _has_too_many(self) -> bool:
        return sum(not each.is_leaving for each in self._all) > self.size

    def _let_one_go(self) -> None:
        if self._idle and self._has_too_many():
            self._let_go(self._idle.pop(0))

    def _let_go(self, process: Pooled) -> None:
        process.let_go()
        asyncio.get_running_loop().call_later(CLOSE_WITHIN, process.kill)

    def _ended(self, process: Pooled) -> None:
        self._all.discard(process)
        if process in self._idle:
            self._idle.remove(process)
        self._tell_groups()

    def _tell_groups(self) -> None:
        if self.on_groups is not None:
            self.on_groups(self.groups)


def slots_of(settings: Settings) -> int:
    """How many processes to keep: what the settings say, else one for each core we may use."""
    if settings.process_slots is not None:
        return settings.process_slots
    return usable_cores()


def _back(attempt: Attempt) -> Outcome:
    """It had not begun."""
    return attempt.end(Released, reason="released")


def _stopped(attempt: Attempt, done: Done | None) -> Outcome:
    """What came of it, by why it was told to stop; `done` None: it had to be killed."""
    outcome = attempt.stopped()
    if attempt.stopping != "timeout" or (done is not None and not done.was_blocking):
        return outcome
    how = "its process was killed" if done is None else "it let nothing beside it run"
    error = f"{outcome.error}; {how}"
    return attempt.end(Hung, error=error, reason=outcome.reason, retry_in=outcome.retry_in)
