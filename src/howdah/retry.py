"""When a failed attempt is tried again: exponential backoff with jitter, pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from howdah.durations import TEN_YEARS, Duration, seconds, within_ten_years
from howdah.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how soon a job is attempted again.

    After the n-th failed attempt a job waits `first` · `factor`ⁿ⁻¹, at most `longest`, plus or
    minus the share `jitter`. `never` names errors that fail the job at once.

    Attributes:
        max_attempts: attempts in all; 4 is one run and three retries.
        first, longest: durations (seconds, timedelta or "5m").
        factor: growth from one wait to the next, 1 to 1000.
        jitter: share between 0 and 1, so that many failures do not come back at one instant.
        never: exception types after which the job is not tried again.
    """

    max_attempts: int = 4
    first: Duration = 3.0
    factor: float = 2.0
    longest: Duration = 3600.0
    jitter: float = 0.1
    never: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "never", _kinds(self.never))
        if not isinstance(self.max_attempts, int) or isinstance(self.max_attempts, bool):
            raise BadInput(f"max_attempts is a whole number, got {self.max_attempts!r}")
        if not 1 <= self.max_attempts <= 10_000:
            raise BadInput(f"max_attempts must lie between 1 and 10000, got {self.max_attempts}")
        if not 1 <= self.factor <= 1000 or not 0 <= self.jitter <= 1:
            raise BadInput("a retry policy needs 1 <= factor <= 1000 and 0 <= jitter <= 1")
        object.__setattr__(self, "first", within_ten_years("first", self.first))
        object.__setattr__(self, "longest", within_ten_years("longest", self.longest))

    def delay(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after so many failed attempts (1 or more)."""
        first, longest = seconds(self.first), seconds(self.longest)
        wait = min(longest, first * self.factor ** min(failures - 1, 60))
        return min(TEN_YEARS, wait * (1 + self.jitter * (2 * chance() - 1)))


def _kinds(never: object) -> tuple[type[BaseException], ...]:
    """The exception types: one, or several in whatever they come; raises BadInput."""
    many = (never,) if isinstance(never, type) else never
    if isinstance(many, tuple | list | set | frozenset) and all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in many
    ):
        return tuple(many)
    raise BadInput(
        f"never={never!r} is no tuple of exception types", hint="Write never=(ValueError,)."
    )
