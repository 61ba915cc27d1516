"""Attempts of tests: what a task raises is kept, so that the test can have it."""

from __future__ import annotations

from typing import Any

from howdah.errors import HowdahError, UnknownTask
from howdah.outcome import Failed, Outcome, Retrying, Word
from howdah.rows import Claimed
from howdah.task import Task
from howdah.worker.attempt import Attempt

MOST = 1000  # jobs that one run_all runs: more are taken for a circle


class Watched(Attempt):
    """Attributes: raised: what the task raised."""

    __slots__ = ("raised",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.raised: BaseException | None = None

    def failed_by(self, error: BaseException) -> Outcome:
        """Keep it."""
        self.raised = error
        return super().failed_by(error)

    def surface(self, outcome: Outcome) -> None:
        """Raise what made this attempt fail."""
        if not isinstance(outcome, Failed | Retrying):
            return
        if self.raised is not None and not isinstance(self.raised, Word):
            raise self.raised
        raise HowdahError(f"{self.job.task} failed: {outcome.error}")


class Here(Watched):
    """In the very thread that asks, even of a plain function."""

    __slots__ = ()

    async def _in_thread(self, given: dict[str, Any]) -> Outcome:
        ended = self.perform_here(given)
        outcome: Outcome = await self._awaited(ended) if hasattr(ended, "send") else ended
        return outcome


def known(tasks: dict[str, Task[..., Any]], claimed: Claimed) -> Task[..., Any]:
    """Its task; raises UnknownTask."""
    if claimed.task not in tasks:
        raise UnknownTask(claimed.task)
    return tasks[claimed.task]


def check_count(ran: int, most: int) -> None:
    """Raise when so many ran that it may go on for ever."""
    if ran >= most:
        raise HowdahError(
            f"{ran} jobs were run, and there are more",
            hint="Does a job enqueue another like itself? Else: run_all(most=…).",
        )
