"""Which leases this worker holds, and for how many jobs each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count
from uuid import UUID

from howdah import workers
from howdah.call import Call
from howdah.outcome import Outcome
from howdah.rows import Claimed
from howdah.workers import Control


class Leases:
    """Counts the open jobs of each lease, from the claim until their outcomes are stored."""

    def __init__(self) -> None:
        self._open: Counter[UUID] = Counter()
        self._numbers = count(1)

    def taken(self, jobs: Iterable[Claimed]) -> None:
        """Jobs were claimed."""
        self._open.update([job.lease for job in jobs])

    def held(self) -> list[UUID]:
        """All leases of which a job is still open."""
        return [*self._open]

    def statement(self, worker: UUID) -> Call[Control]:
        """All leases that are held, for the store: jobs of others are released.

        Numbered: on a connection that was lost it may arrive late, after claims that it does not
        know of.
        """
        return workers.heartbeat(worker, leases=self.held(), stated=next(self._numbers))

    def done_with(self, outcomes: Iterable[Outcome]) -> list[UUID]:
        """The leases of which no job is left once these outcomes are stored."""
        ending = Counter([outcome.lease for outcome in outcomes])
        return [lease for lease, n in ending.items() if self._open[lease] <= n]

    def stored(self, outcomes: Iterable[Outcome]) -> None:
        """The store has taken, or refused, these outcomes."""
        for lease, n in Counter([outcome.lease for outcome in outcomes]).items():
            self._open[lease] -= n
            if self._open[lease] <= 0:
                del self._open[lease]

    def again(self, outcomes: Iterable[Outcome]) -> None:
        """These outcomes go into a later batch: they stay open for it."""
        self._open.update([outcome.lease for outcome in outcomes])

    def forget(self) -> None:
        """The worker was swept: nothing is held any more."""
        self._open.clear()
