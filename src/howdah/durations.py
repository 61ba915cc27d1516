"""Durations as people give them: seconds, timedelta, or "30s", "5m", "2h"; kept as seconds."""

from __future__ import annotations

import re
from datetime import timedelta

from howdah.errors import BadInput

Duration = float | int | timedelta | str

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
TEN_YEARS = 3600 * 86400.0  # as PostgreSQL compares intervals: 120 months of 30 days
LONGEST = 1000 * 366 * 86400.0  # a thousand years: what timedelta and interval surely hold
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def seconds(duration: Duration) -> float:
    """The duration in seconds; refuses what is none, not finite or negative."""
    if isinstance(duration, timedelta):
        found = duration.total_seconds()
    elif isinstance(duration, str):
        found = _parse(duration)
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        found = duration
    else:
        raise BadInput(f"{duration!r} is not a duration", hint='Use seconds, a timedelta or "5m".')
    if not 0 <= found <= LONGEST:  # NaN is neither
        raise BadInput(f"{duration!r} is not a duration between zero and a thousand years")
    return float(found)


def within_ten_years(what: str, duration: Duration) -> float:
    """The duration in seconds; refuses what the store would not take as a wait."""
    found = seconds(duration)
    if found > TEN_YEARS:
        raise BadInput(f"{what} is longer than ten years", hint="Use at most 3600 days.")
    return found


def span(duration: Duration | None) -> timedelta | None:
    """The duration as a timedelta, as drivers take it."""
    return None if duration is None else timedelta(seconds=seconds(duration))


def written(length: float) -> str:
    """Seconds for people: 850ms, 12.4s, 5m 10s, 2h 5m, 3d 4h."""
    if round(length, 3) < 1:
        return f"{length * 1000:.0f}ms"
    if round(length, 1) < 60:
        return f"{length:.1f}s".replace(".0s", "s")
    whole = round(length)
    for unit, below, size in (("d", "h", 86400), ("h", "m", 3600), ("m", "s", 60)):
        if whole >= size:
            rest = whole % size // {"h": 3600, "m": 60, "s": 1}[below]
            return f"{whole // size}{unit}" + (f" {rest}{below}" if rest else "")
    return f"{whole}s"


def _parse(text: str) -> float:
    compact = text.strip()
    try:
        return float(compact)
    except ValueError:
        pass
    if not compact or _PART.sub("", compact).strip():
        raise BadInput(
            f"{text!r} is not a duration", hint='Write for example "30s", "5m" or "1h 30m".'
        )
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(compact))
