"""Which leases this worker holds, and for how many jobs each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from howdah.outcome import Outcome
from howdah.rows import Claimed


class Leases:
    """Counts the open jobs of each lease, from the claim until their outcomes are stored."""

    def __init__(self) -> None:
        self._open: Counter[UUID] = Counter()

    def taken(self, jobs: Iterable[Claimed]) -> None:
        """Jobs were claimed."""
        self._open.update([job.lease for job in jobs])

    def held(self) -> list[UUID]:
        """All leases of which a job is still open: to be stated to the store."""
        return [*self._open]

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
