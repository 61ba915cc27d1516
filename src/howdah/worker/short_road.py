"""The short road of a hint: when to ask only for what has come above a floor."""

from __future__ import annotations

import time

SHORTEST_REST, LONGEST_REST = 0.1, 30.0  # seconds; after each time in vain the double


class ShortRoad:
    """Rests after it led to nothing: where there are limits, say, it never leads anywhere."""

    def __init__(self) -> None:
        self._opens_at, self._rest = 0.0, SHORTEST_REST

    def is_open(self) -> bool:
        """Whether to try it."""
        return time.monotonic() >= self._opens_at

    def led_to(self, jobs: int) -> None:
        """So many jobs came of it."""
        if jobs:
            self._rest = SHORTEST_REST
        else:
            self._opens_at = time.monotonic() + self._rest
            self._rest = min(LONGEST_REST, 2 * self._rest)
