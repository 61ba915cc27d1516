"""One claimer per worker: asks for as many jobs as can be started soon, into the local queues."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import msgspec

from howdah import jobs, store
from howdah.errors import BadInput
from howdah.rows import Claimed
from howdah.worker.floors import Floors, News, given, together
from howdah.worker.identity import Identity
from howdah.worker.leases import Leases
from howdah.worker.link import Link, Patience
from howdah.worker.short_road import ShortRoad
from howdah.worker.slots import MOST_ASKED, Slots

LOOK_EVERY = 0.2  # seconds between two looks for queues without a floor while there is enough to do
KEYED_FOR = 0.01  # seconds in which a job with keys may well end, and let the next one in
SERIAL_KEY = 1  # among what hangs on a job
FORGET_EVERY = 60.0  # seconds; then one claim begins at the start, as a net


class Fetcher:
    """Claims while there is room and work; sleeps, marked as idle, until it is poked.

    Marked as idle, committed, and then once more claimed before sleeping: a job enqueued between
    the look and the mark would otherwise wait for the next poll. Jobs that may have killed their
    worker go to the `suspects`, where there are such slots: no more are claimed than can start.
    """

    def __init__(
        self,
        *,
        link: Link,
        identity: Identity,
        groups: Sequence[Slots],
        suspects: Slots | None,
        leases: Leases,
        patience: Patience,
        fill: Callable[[], None],
        fell_idle: Callable[[], None],
    ) -> None:
        self._link, self._identity = link, identity
        self._groups = [slots for slots in groups if slots.tasks != ()]
        self._suspects = suspects
        self._leases, self._patience, self._fill = leases, patience, fill
        self._fell_idle = fell_idle
        self._floors = {slots: Floors() for slots in self._groups}
        self._short = {slots: ShortRoad() for slots in self._groups}
        self._looked_at = dict.fromkeys(self._groups, 0.0)
        self._forgot_at = 0.0
        self._poked = asyncio.Event()
        self._marked: set[Slots] = set()
        self._in_vain: dict[Slots, int] = {}  # asked for since the last find; with suspects
        self._turn = asyncio.Lock()
        self._most = MOST_ASKED  # jobs in one claim: less after one that was not answered in time
        self._admits = False  # somebody may wait for a key that has changed hands
        self._keyed_at = 0.0  # when jobs with keys were last claimed
        self._stopping = self._is_hinted = False
        self.found_nothing = asyncio.Event()  # by a round over all queues, and no poke since

    def poke(self) -> None:
        """Look again: there may be work, or room."""
        self.found_nothing.clear()
        self._poked.set()

    def hinted(self) -> None:
        """Look again: somebody has said that there is work."""
        self._is_hinted = True
        self.poke()

    def has_room(self) -> None:
        """Look again, unless there was room before and nothing to fill it with."""
        if len(self._in_vain) < len(self._groups) or self._suspect_room() > min(
            self._in_vain.values()
        ):
            self.poke()

    async def state(self) -> None:
        """State the leases that are held, between two claims: others of ours are released."""
        async with self._turn:
            await self._patience.until_done(
                lambda: self._link.run(self._leases.statement(self._identity.id))
            )

    def floors(self) -> str:
        """Below which nobody here need look, JSON for a heartbeat."""
        return together([*self._floors.values()])

    def keys_ended(self, hooks: set[int]) -> None:
        """Jobs have ended on which this hangs: others may go on.

        The next one of a serial key was let in by the finish, unless the next claim's news say
        otherwise; who waits for anything else has to be looked for.
        """
        self._admits = self._admits or hooks != {SERIAL_KEY}
        self._in_vain.clear()
        self.poke()

    def renewed(self) -> None:
        """The worker has a new identity: nothing is marked as idle under it."""
        self._marked.clear()
        self.poke()

    def stop(self) -> None:
        """Claim no more; `run` ends."""
        self._stopping = True
        self._poked.set()

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._stopping:
            self._poked.clear()
            asked = [slots for slots in self._groups if slots.wants() > 0]
            hinted = self._is_hinted and bool(asked)
            self._is_hinted &= not hinted
            if any([await self._claim_for(slots, hinted=hinted) for slots in asked]):
                continue
            if len(asked) == len(self._groups) and not self._poked.is_set():
                self.found_nothing.set()
            await self._poked.wait()

    async def _claim_for(self, slots: Slots, *, hinted: bool = False) -> bool:
        """Whether it found something; marks this worker as idle when it did not."""
        if slots in self._marked:
            if hinted and await self._found(slots, partial(self._ask_above, slots)):
                return True
            if await self._claim(slots, idle=False):
                return True
            if hinted:  # it may be due in a moment
                self._fell_idle()
            return False
        if time.monotonic() - self._keyed_at < KEYED_FOR:
            with suppress(TimeoutError):
                async with asyncio.timeout(KEYED_FOR):
                    await self._poked.wait()
            if len(self._groups) == 1 and not self._stopping:  # others, and the end, must be heard
                self._poked.clear()
        if await self._claim(slots, idle=True):
            return True
        if slots not in self._marked:  # there was no room left to ask for
            return False
        self._fell_idle()
        if len(self._groups) == 1 and not self._stopping:
            self._poked.clear()  # the next claim sees what the pokes until now were about
        return await self._claim(slots, idle=False)

    async def _claim(self, slots: Slots, *, idle: bool) -> bool:
        return await self._found(slots, partial(self._ask, slots, idle=idle))

    async def _found(self, slots: Slots, ask: Callable[[], Awaitable[list[Claimed]]]) -> bool:
        async with self._turn:
            claimed = await self._patience.until_done(ask)
            self._leases.taken(claimed)
        if not claimed:
            return False
        self._marked.clear()  # the claim that found something cleared the mark
        self._in_vain.clear()
        if any(job.hooks for job in claimed):
            self._keyed_at = time.monotonic()
        self._place(slots, claimed)
        self._fill()
        await asyncio.sleep(0)  # quick ones have ended before the next claim is sized
        return True

    def _place(self, slots: Slots, claimed: list[Claimed]) -> None:
        """Let them wait for a slot; suspects for one of their own."""
        if self._suspects is None or not slots.isolates:
            slots.hold(claimed)
            return
        slots.hold([job for job in claimed if not job.suspect])
        self._suspects.hold([job for job in claimed if job.suspect])

    def _suspect_room(self) -> int:
        return 0 if self._suspects is None else self._suspects.free

    async def _ask(self, slots: Slots, *, idle: bool) -> list[Claimed]:
        looks_again = True
        while looks_again and (n := min(slots.wants(), self._most)) > 0 and not self._stopping:
            if self._admits:
                self._admits = False
                await self._link.run(store.admit(n))
            claimed, looks_again = await self._ask_once(slots, n, idle=idle)
            if not claimed and self._admits:
                looks_again = await self._link.run(store.admit(n)) > 0
                self._admits = False
                if looks_again:
                    continue
            if claimed or idle:  # before it sleeps it claims once more, and then looks everywhere
                return claimed
        return []

    async def _ask_above(self, slots: Slots) -> list[Claimed]:
        """What has come above the only floor: the short road for a hint."""
        n, road = min(slots.wants(), self._most), self._short[slots]
        only = self._floors[slots].only()
        if only is None or n <= 0 or self._stopping or not road.is_open():
            return []
        (queue, priority), seq = only
        worker = self._identity.id
        claim = jobs.claim_above(
            queue,
            priority,
            seq,
            n,
            worker=worker,
            tasks=self._tasks(slots),
            others=slots.queues != (queue,) and self._is_time_to_look(slots),
        )
        claimed: list[Claimed] = []
        try:
            with self._in_doubt(self._floors[slots], n):
                claimed = await self._link.run(claim)
        finally:
            road.led_to(len(claimed))
        if not claimed:
            self._looked_at[slots] = 0.0  # the claim that follows is to look for itself
        return claimed if worker == self._identity.id else []

    async def _ask_once(self, slots: Slots, n: int, *, idle: bool) -> tuple[list[Claimed], bool]:
        """What it got; and whether there may be more where it did not look."""
        worker, floors, room = self._identity.id, self._floors[slots], self._suspect_room()
        claim = partial(
            jobs.claim,
            slots.queues,
            n,
            worker=worker,
            tasks=self._tasks(slots),
            idle=idle,
            except_queues=slots.but,
            suspects=self._suspects.free if self._suspects and slots.isolates else None,
        )
        above = given(floors.above, look=self._is_time_to_look(slots))
        looks_again = False
        with self._in_doubt(floors, n):
            try:
                claimed, news = await self._link.run(jobs.with_news(claim(floors=above)))
                told = msgspec.json.decode(news, type=News)
                looks_again = floors.learn(told)
                self._admits = told.pending
            except BadInput:  # floors are refused: a pooler gives transactions another isolation
                floors.forget()
                claimed = await self._link.run(claim())
        if worker != self._identity.id:  # swept in the meantime: they are no longer ours
            return [], False
        if not claimed:
            self._in_vain[slots] = room
            if idle:
                self._marked.add(slots)
        return claimed, looks_again

    @contextmanager
    def _in_doubt(self, floors: Floors, n: int) -> Iterator[None]:
        """A claim of `n`: when it fails, nobody knows whether it claimed anything."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, TimeoutError):  # their arguments may be large, and the way slow
                self._most = max(1, n // 4)
            floors.forget()
            self._in_vain.clear()
            self._marked.clear()
            raise
        self._most = min(MOST_ASKED, 2 * self._most)

    def _tasks(self, slots: Slots) -> Sequence[str]:
        return self._identity.tasks if slots.tasks is None else slots.tasks

    def _is_time_to_look(self, slots: Slots) -> bool:
        now = time.monotonic()
        if now - self._forgot_at > FORGET_EVERY:
            self._forgot_at = now
            for floors in self._floors.values():
                floors.forget()
        if now - self._looked_at[slots] < LOOK_EVERY:
            return False
        self._looked_at[slots] = now
        return True
