"""What faults are given to act upon, and what they give back.

A fault is injected with a dose from 0 (mild) to 1 (hard); each fault says what it makes of it. It
does its harm, heals it, and returns once healed: `await fault.inject(world, 0.5)`. So how long an
injection takes is the fault's own, and always bounded: `longest` seconds, healing included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from chaos.pooler import Pooler
    from chaos.producers import Producers
    from chaos.proxy import Proxy
    from chaos.server import Server


class Workers(Protocol):
    """The workers of a run, each a parent process and its children."""

    lost_after: float  # seconds without a beat after which a worker counts as lost

    def parents(self) -> list[int]:
        """The process ids of the parents that should be alive."""

    def children(self) -> list[int]:
        """The process ids of their children."""

    async def start(self, n: int = 1, environment: Mapping[str, str] | None = None) -> list[int]:
        """Start more workers, with some environment besides the usual; their parents' ids."""

    async def gone(self, parent: int, within: float) -> int | None:
        """Wait for a parent to end and forget it; its exit status, None if it is still there."""


class Note(Protocol):
    """Writes a line to the nemesis' log."""

    def __call__(self, what: str, /, **facts: object) -> None: ...


@dataclass(slots=True, kw_only=True)
class World:
    """A server, the roads to it, the workers on it, chance, and a log.

    `server` is replaced when a standby is promoted: ask for it anew each time.
    """

    server: Server
    proxies: dict[str, Proxy]  # "worker", "producer", "replication"
    workers: Workers
    random: Random
    note: Note
    pooler: Pooler | None = None
    producers: Producers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A fault that was really there: from when to when, and what was seen of it.

    Moments are of time.monotonic(), which all processes of one machine share. A fault whose
    `observed` counts are all 0 has had no effect, and does not count as injected.
    """

    name: str
    began: float
    healed: float
    observed: dict[str, int] = field(default_factory=dict)

    @property
    def had_effect(self) -> bool:
        """Whether anything at all was seen of it."""
        return any(self.observed.values())


class Fault(Protocol):
    """A kind of harm."""

    name: str
    longest: float  # seconds that one injection may take
    alone: bool  # the server goes away or is replaced: nothing else may be under way

    async def inject(self, world: World, dose: float) -> Injected:
        """Do the harm, heal it, and say what was seen; NotHere where the machine has no means."""


class NotHere(Exception):
    """This machine does not permit the fault, or lacks a program for it: to be counted, loudly."""


def between(low: float, high: float, dose: float) -> float:
    """What a dose means on a scale of one's own."""
    return low + (high - low) * min(max(dose, 0.0), 1.0)
