"""What is done to the system and when: all of it follows from a seed, before anything begins."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Protocol, Self


class Known(Protocol):
    """What a plan must know of a fault."""

    @property
    def name(self) -> str:
        """What it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fault: how hard, when (or once its lane is free), and the seed of its own chance."""

    number: int
    lane: int
    fault: str
    dose: float
    at: float  # seconds from the beginning of the load
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a run is: load, faults, and the seconds that it may take in all."""

    name: str
    load: float  # seconds in which jobs are enqueued and faults injected
    limit: float  # seconds after which the run ends, whatever it has come to
    jobs: int
    flows: int  # besides
    faults: int  # to be really injected, at least
    classes: int  # of faults, at least
    lanes: int = 2  # faults at a time
    storm: float = math.inf  # seconds in which faults begin,
    calm: float = 0.0  # and those after it in which none does: what waits is worked off
    workers: int = 4
    sql_workers: int = 3
    slots: int = 14  # of each: what a killed process ran is run again alone, which costs

    def scaled(self, share: float) -> Self:
        """The same for a share of the time: as many jobs, flows and faults a second."""
        return replace(
            self,
            load=self.load * share,
            limit=self.load * share + self.limit - self.load,
            jobs=round(self.jobs * share),
            flows=round(self.flows * share),
            faults=round(self.faults * share),
        )

    def slowed(self, times: float) -> Self:
        """As many jobs, flows and faults, in so many times the time."""
        return replace(self, load=self.load * times, limit=self.limit * times)


SIZES = {
    size.name: size
    for size in (
        Size(
            name="mini", load=20, limit=60, jobs=3_000, flows=60, faults=10, classes=4, lanes=4,
            workers=2, slots=20, sql_workers=1,
        ),
        Size(
            name="smoke", load=440, limit=590, jobs=210_000, flows=1_700, faults=200, classes=10,
            lanes=4, storm=15, calm=7,
        ),
        Size(
            name="soak", load=3600, limit=4080, jobs=1_000_000, flows=8_000, faults=1000,
            classes=12, lanes=3, storm=20, calm=10,
        ),
    )
}  # fmt: skip

SPREAD = 0.95  # share of the load's time over which faults are spread
MORE = 1.3  # planned for each that is needed: some meet nothing that they could harm


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All faults of a run, in the order of each lane."""

    seed: int
    size: str
    steps: tuple[Step, ...]

    def without(self, faults: Collection[str]) -> Self:
        """The same plan, less some faults."""
        return replace(self, steps=tuple(s for s in self.steps if s.fault not in faults))

    def half(self, which: str) -> Self:
        """One half of its faults: the first or the last by number, or the odd or the even."""
        middle = len(self.steps) // 2
        kept: Iterable[Step] = {
            "first": self.steps[:middle],
            "last": self.steps[middle:],
            "odd": self.steps[::2],
            "even": self.steps[1::2],
        }[which]
        return replace(self, steps=tuple(kept))

    def lane(self, number: int) -> list[Step]:
        """The faults of one lane, in their order."""
        return [step for step in self.steps if step.lane == number]

    def to_json(self) -> str:
        """The whole plan, to be kept and given back."""
        head = json.dumps({"seed": self.seed, "size": self.size})[:-1]
        steps = ",\n  ".join(json.dumps(asdict(step)) for step in self.steps)
        return f'{head}, "steps": [\n  {steps}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan that was written so."""
        found = json.loads(text)
        steps = tuple(Step(**step) for step in found["steps"])
        return cls(seed=found["seed"], size=found["size"], steps=steps)


def planned(seed: int, size: Size, faults: Sequence[Known], weights: dict[str, float]) -> Plan:
    """A plan of faults, spread over the load: each kind once before any comes by its weight."""
    chance = Random(seed)
    known = sorted(faults, key=lambda fault: fault.name)
    if not known:
        raise ValueError("a plan needs faults")
    by_weight = [weights.get(fault.name, 1.0) for fault in known]
    each_once = chance.sample(known, len(known))
    count = round(size.faults * MORE)
    chosen = each_once[:count]
    chosen += chance.choices(known, by_weight, k=count - len(chosen))
    steps = tuple(
        Step(
            number=number,
            lane=number % size.lanes,
            fault=fault.name,
            dose=round(chance.random(), 3),
            at=round(size.load * SPREAD * (number + chance.random()) / count, 3),
            seed=chance.randrange(2**32),
        )
        for number, fault in enumerate(chosen)
    )
    return Plan(seed=seed, size=size.name, steps=steps)
