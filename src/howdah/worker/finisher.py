"""Writes outcomes in batches: at once when idle; while one is under way the next gather."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import asyncpg

from howdah import jobs
from howdah.errors import BadInput, Conflict, NotFound, TooLarge
from howdah.events import Events, LeaseRefused
from howdah.jobs import storable
from howdah.outcome import Failed, Outcome, Succeeded
from howdah.refusals import server_word
from howdah.rows import Refused
from howdah.worker.leases import Leases
from howdah.worker.link import Link, Patience

BATCH = 500
BATCH_BYTES = 16 * 1_048_576  # in one batch: more may not be stored in time, however often tried
MOST_WAITING = 1000  # outcomes not yet stored: what a crash can make run again


class Finisher:
    """Takes outcomes with `put`, stores them in order, keeps them while the database is away."""

    def __init__(
        self,
        link: Link,
        leases: Leases,
        events: Events,
        has_stored: Callable[[list[Outcome]], None],
    ) -> None:
        self._link, self._leases, self._events = link, leases, events
        self._has_stored = has_stored
        self._waiting: list[Outcome] = []
        self._under_way, self._at_once = 0, BATCH
        self._something = asyncio.Event()
        self._all_stored = asyncio.Event()
        self._all_stored.set()
        self._patience = Patience("finisher", events)

    @property
    def has_room(self) -> bool:
        """Whether more jobs may be started: their outcomes would not pile up beyond the bound."""
        return self.unstored < MOST_WAITING

    @property
    def is_empty(self) -> bool:
        """Whether everything is stored."""
        return self._all_stored.is_set()

    @property
    def unstored(self) -> int:
        """How many outcomes are not stored yet."""
        return len(self._waiting) + self._under_way

    def put(self, outcome: Outcome, *, is_stored: bool = False) -> None:
        """Have it stored soon; with `is_stored` take note that its own transaction saw to it."""
        if is_stored:
            self._leases.stored([outcome])
            if outcome.reason == "lost":
                self._events.emit(LeaseRefused(job_id=outcome.id))
            return
        self._waiting.append(outcome)
        self._something.set()
        self._all_stored.clear()

    async def stored(self) -> None:
        """Wait until nothing is waiting to be stored."""
        await self._all_stored.wait()

    async def run(self) -> None:
        """Store batch after batch, for ever."""
        while True:
            await self._something.wait()
            batch, self._waiting = _cut(self._waiting)
            self._under_way = len(batch)
            refused = await self._patience.until_done(lambda batch=batch: self._store_all(batch))  # type: ignore[misc]
            self._under_way = 0
            self._leases.stored(batch)
            for job_id in await self._patience.until_done(
                lambda batch=batch, refused=refused: self._really_lost(batch, refused)  # type: ignore[misc]
            ):
                self._events.emit(LeaseRefused(job_id=job_id))
            if not self._waiting:
                self._something.clear()
                self._all_stored.set()
            self._has_stored(batch)

    async def _really_lost(self, batch: list[Outcome], refused: list[Refused]) -> list[UUID]:
        """The jobs that are somebody else's by now.

        Not those whose own transaction, given up or cut off here, has committed with a success
        after all. A lease that was refused never comes back, so to send that success changes
        nothing: the store says that it has it.
        """
        lost = [refusal.id for refusal in refused if refusal.reason == "lost"]
        often = Counter(outcome.id for outcome in batch)  # twice: one may be busy, with its lease
        ends = [
            Succeeded(id=o.id, lease=o.lease) for o in batch if o.id in lost and often[o.id] == 1
        ]
        if not ends:
            return lost
        again = await self._link.run(jobs.finish(ends, done=()))
        committed = {refusal.id for refusal in again if refusal.reason == "done"}
        return [job_id for job_id in lost if job_id not in committed]

    async def _store_all(self, batch: list[Outcome]) -> list[Refused]:
        """At once; after a batch that was not answered in time a few at a time, and soon more."""
        refused: list[Refused] = []
        for start in range(0, len(batch), self._at_once):
            few = batch[start : start + self._at_once]
            try:
                refused += await self._store(few)
            except TimeoutError:  # those that are stored by now will be "done" when tried again
                self._at_once = max(1, len(few) // 4)
                raise
        self._at_once = min(BATCH, 2 * self._at_once)
        return refused

    async def _store(self, batch: list[Outcome]) -> list[Refused]:
        done = self._leases.done_with(batch)
        try:
            return await self._link.run(jobs.finish(batch, done=done))
        except asyncpg.LockNotAvailableError:  # somebody holds one of the rows: store the others
            return await self._store_around_locks(batch)
        except Exception as error:
            if not _is_unstorable(error) or (batch[0].reason == "bad result" and len(batch) == 1):
                raise
            if len(batch) == 1:
                return await self._store([_instead_of(batch[0], error)])
            return [refused for outcome in batch for refused in await self._store([outcome])]

    async def _store_around_locks(self, batch: list[Outcome]) -> list[Refused]:
        refused = await self._link.run(jobs.finish(batch, done=(), skip_locked=True))
        busy = {refusal.id for refusal in refused if refusal.reason == "busy"}
        rest = [outcome for outcome in batch if outcome.id in busy]
        self._waiting += rest  # counted as open until they are stored
        self._leases.again(rest)
        if rest:
            await asyncio.sleep(0.2)
        return [refusal for refusal in refused if refusal.reason != "busy"]


def _cut(waiting: list[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """The next batch, and what is left for later ones; answers and steps go in different calls."""
    room = BATCH_BYTES
    answers = steps = False
    for n, outcome in enumerate(waiting[:BATCH]):
        room -= _size(outcome)
        answers, steps = answers or outcome.answer is not None, steps or outcome.steps is not None
        if n and (room < 0 or (answers and steps)):
            return waiting[:n], waiting[n:]
    return waiting[:BATCH], waiting[BATCH:]


def _size(outcome: Outcome) -> int:
    """About how many bytes it is."""
    size = 0 if outcome.result is None else len(outcome.result)
    if outcome.error is not None:
        size += len(outcome.error)
    if outcome.cursor is not None:
        size += len(outcome.cursor)
    if outcome.steps is not None:
        size += len(outcome.steps)
    return size if outcome.answer is None else size + len(outcome.answer.body)


def _is_unstorable(error: Exception) -> bool:
    """Whether the store cannot hold what it was given: no use in giving it again."""
    word = server_word(error)
    return isinstance(
        error, BadInput | Conflict | NotFound | TooLarge | OverflowError | ValueError
    ) or (word is not None and word.code[:2] in {"22", "23", "54"})


def _instead_of(outcome: Outcome, error: Exception) -> Outcome:
    """The job fails alone, and says why."""
    said = storable(f"the {outcome.kind} outcome cannot be stored: {error}")
    return Failed(id=outcome.id, lease=outcome.lease, error=said, reason="bad result")
