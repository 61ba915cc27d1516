"""Which origins are left alone for a while: those that have not answered many times in a row. Pure.

After `most` calls without an answer an origin rests, 5 s at first and a minute at most; then one
call tries whether it answers again, and until that is known the others wait on. Any answer, of
whatever status, ends it. A trial that was given up says nothing: the next call is the trial.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST, LONGEST = 5.0, 60.0  # seconds of a rest
AGAIN = 1.0  # seconds until those that wait for a trial ask again
MOST_ORIGINS = 10_000  # that are remembered


@dataclass(slots=True)
class _Silence:
    failed: int = 0
    rests_until: float = 0.0
    rest: float = 0.0
    tried_at: float | None = None


class Breaker:
    """Takes the time as an argument. With `most` None it lets everything through."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._silent: dict[str, _Silence] = {}

    def wait(self, origin: str, now: float) -> float | None:
        """Seconds until it may be called; None: now, and then say how that went."""
        silence = self._silent.get(origin)
        if silence is None or not silence.rest:
            return None
        if now < silence.rests_until:
            return silence.rests_until - now
        if silence.tried_at is not None and now < silence.tried_at + LONGEST:
            return AGAIN
        silence.tried_at = now
        return None

    def ended(self, origin: str, began: float) -> None:
        """The call that it let through then is over; a trial of which nothing was said is none."""
        silence = self._silent.get(origin)
        if silence is not None and silence.tried_at == began:
            silence.tried_at = None

    def answered(self, origin: str) -> None:
        """It has answered."""
        self._silent.pop(origin, None)

    def failed(self, origin: str, now: float) -> None:
        """It has not, or not to the end."""
        if self._most is None:
            return
        if len(self._silent) >= MOST_ORIGINS:
            self._silent.clear()  # in doubt everybody is called
        silence = self._silent.setdefault(origin, _Silence())
        silence.failed += 1
        if silence.failed < self._most or now < silence.rests_until:
            return
        silence.rest = min(LONGEST, 2 * silence.rest or FIRST)
        silence.rests_until = now + silence.rest
        silence.tried_at = None
