"""Who is measured, in what order, and the arithmetic over what was found."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

COLUMNS = ("best", "default")
TESTS = ("one", "bulk", "drain1", "drain2", "latency", "snapshot")
PEERS = Path(__file__).parents[1] / "peers.toml"


@dataclass(frozen=True, slots=True)
class Contender:
    """A peer in one of its configurations."""

    peer: str
    column: str

    @property
    def database(self) -> str:
        """The name of its own database."""
        return f"bench_{self.peer}_{self.column}".replace("-", "_")


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement."""

    round: int
    test: str
    contender: Contender


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured; times in seconds.

    Attributes:
        one, within: jobs enqueued one by one, and for how long at most.
        bulk: jobs enqueued in bulk.
        share: of the jobs that peers.toml gives for drains.
        late, gap: jobs for latency, and the time between two.
        cap: a drain is given up after so long, and what is done then counts.
        held: rounds under a held snapshot.
    """

    one: int = 3_000
    within: float = 5.0
    bulk: int = 50_000
    share: float = 1.0
    late: int = 300
    gap: float = 0.02
    cap: float = 30.0
    held: int = 5


QUICK = Sizes(one=200, within=1.0, bulk=2_000, share=0.05, late=30, cap=5.0, held=2)


def peers() -> dict[str, dict[str, Any]]:
    """What peers.toml says, by name."""
    return tomllib.loads(PEERS.read_text("utf-8"))


def turns(tests: Sequence[str], contenders: Sequence[Contender], rounds: int) -> Iterator[Turn]:
    """A B A B …: in each round each test is taken by all contenders, one after the other."""
    for number in range(1, rounds + 1):
        for test in tests:
            for contender in contenders:
                yield Turn(number, test, contender)


def medians(rounds: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """The median of each figure over the rounds in which it was found."""
    found: dict[str, list[float]] = {}
    for one in rounds:
        for name, value in one.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: median(values) for name, values in found.items()}
