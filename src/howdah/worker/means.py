"""What a process has to run attempts with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from howdah.outcome import Outcome
from howdah.rows import Note
from howdah.worker.transactions import Transactions

if TYPE_CHECKING:
    from howdah.worker.attempt import Attempt


class RunsAside(Protocol):
    """Runs functions beside the event loop."""

    def submit(self, do: Callable[[], Any], /) -> Future[Any]:
        """Run it; gives what will come of it."""
        ...

    def stop(self) -> None:
        """Nothing more will be asked for."""


class Runs(Protocol):
    """Runs attempts in a way of its own."""

    async def run(self, attempt: Attempt, /) -> Outcome:
        """What came of it; never raises."""
        ...


class RunsElsewhere(Protocol):
    """Runs attempts in processes of their own."""

    async def run(self, attempt: Attempt, /) -> Outcome:
        """What came of it; never raises."""
        ...

    def kill_overdue(self) -> None:
        """Kill what should long have ended; from any thread."""


@dataclass(slots=True, kw_only=True)
class Means:
    """Threads, processes and transactions, the app's resources, ways to tell and ask the worker.

    Attributes:
        memory: MiB to which this process is limited; None: it is not.
    """

    threads: RunsAside
    processes: RunsElsewhere | None = None
    urls: Runs | None = None
    commands: Runs | None = None
    transactions: Transactions | None = None
    extend: Callable[[Attempt, float], Awaitable[None]] | None = None
    progress: Callable[[Note], None] | None = None
    resources: Any = None
    memory: int | None = None

    def runs(self, where: str) -> Runs:
        """What runs attempts neither on the loop nor in a thread."""
        found = {"process": self.processes, "http": self.urls, "command": self.commands}[where]
        assert found is not None
        return found
