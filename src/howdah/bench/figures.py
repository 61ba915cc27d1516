"""Figures: what was measured in each round, and the arithmetic over rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One thing that was measured, once in each round; `value` is the median of them."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median."""
        return median(self.rounds)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a mode found: with which parameters, after which warm-up, and what is to be known."""

    mode: str
    parameters: Mapping[str, object]
    warm_up: str
    figures: Sequence[Figure]
    notes: Sequence[str] = ()


Round = Mapping[str, tuple[float | None, str]]  # by name: a value, None where unknown, and its unit


def figures(rounds: Sequence[Round]) -> list[Figure]:
    """The rounds turned round: a figure for each name, in the order of the first round.

    What was not known in some round (None) is left out.
    """
    found = []
    for name, (_, unit) in rounds[0].items():
        values = [one[name][0] for one in rounds]
        known = tuple(value for value in values if value is not None)
        if len(known) == len(rounds):
            found.append(Figure(name, unit, known))
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that is not below this share of them (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rounded(value: float, digits: int = 4) -> float:
    """So many digits that mean something; whole numbers stay whole."""
    if value == 0 or not math.isfinite(value):
        return value
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return round(value, max(0, places))
