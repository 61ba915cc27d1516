"""What a process has to run attempts with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from howdah.outcome import Outcome
from howdah.worker.threads import Threads
from howdah.worker.transactions import Transactions

if TYPE_CHECKING:
    from howdah.worker.attempt import Attempt


class RunsElsewhere(Protocol):
    """Runs attempts in processes of their own."""

    async def run(self, attempt: Attempt, /) -> Outcome:
        """What came of it; never raises."""
        ...


@dataclass(slots=True, kw_only=True)
class Means:
    """Threads, processes and transactions, the app's resources, a way to ask for more time."""

    threads: Threads
    processes: RunsElsewhere | None = None
    transactions: Transactions | None = None
    extend: Callable[[Attempt, float], Awaitable[None]] | None = None
    resources: Any = None
