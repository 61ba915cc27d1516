"""Which jobs a producer enqueues: pure, and all from its chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

KEYS = 10_000_000  # of each producer: the n-th has those from n · KEYS on
UNIQUE_KEYS = 4  # shared by all: in a short run, too, a key is wanted again while it is held
SERIAL_KEYS = 10  # likewise
HELD = 3.0  # seconds for which the long ones hold their slots, at most
MIX = {  # shares of a hundred
    "co": 49.5, "thread": 8, "process": 1.5, "tx": 16, "tx_thread": 3, "once": 9, "once_thread": 2,
    "once_process": 0.5, "sql": 1, "unique": 6, "serial": 1.5, "limited": 0.5,
    "later": 0.1,
}  # fmt: skip
AHEAD = 5  # the priority of those that follow each other: not each behind all that others have
FAR = 7200.0  # seconds from now: these are still scheduled when the run ends, and not soon due


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One job to be enqueued."""

    key: int
    task: str
    args: dict[str, Any] = field(default_factory=dict)
    delay: float | None = None
    queue: str = "default"
    priority: int = 0
    unique: str | None = None
    serial: str | None = None
    has_id: bool = False  # one that the producer chooses, so that it may ask again

    @property
    def all_args(self) -> dict[str, Any]:
        """Its arguments, the key among them."""
        return {"key": self.key, **self.args}


def spec(chance: Random, key: int, *, in_bulk: bool = False) -> Spec:
    """The job of this key; those in bulk have no unique key: what it led to is told one by one."""
    [kind] = chance.choices([*MIX], [*MIX.values()])
    if kind == "unique" and in_bulk:
        kind = "co"
    if kind == "unique":
        return Spec(
            key=key, task="co", args={"hold": 0.5}, unique=f"u{chance.randrange(UNIQUE_KEYS)}"
        )
    if kind == "serial":  # at once, and settled for good: what is to be tried again keeps its turn
        args = {"fail": 1} if chance.random() < 0.03 else {"hold": 0.02}
        turn = f"s{chance.randrange(SERIAL_KEYS)}"
        return Spec(key=key, task="co", args=args, serial=turn, priority=AHEAD)
    if kind == "limited":  # for as long that without the limit some would meet
        return Spec(key=key, task="limited", args={"hold": 0.05}, priority=AHEAD)
    if kind == "later":
        return Spec(key=key, task="co", delay=FAR)
    if kind == "sql":
        return Spec(key=key, task="sql", queue="sql")  # looking for them among others costs
    return Spec(
        key=key,
        task=kind,
        args=_fate(chance, kind),
        delay=round(chance.uniform(0.2, 4.0), 3) if chance.random() < 0.04 else None,
        has_id=chance.random() < 0.05,
    )


def _fate(chance: Random, kind: str) -> dict[str, Any]:
    draw = chance.random()
    if draw < 0.015:
        return {"hold": round(chance.uniform(0.2, HELD), 2)}
    if draw < 0.035:
        return {"fail": chance.choice((1, 1, 1, 2, 3, 4))}
    if draw < 0.045 and not kind.startswith("once"):  # a snooze, asked for, would start it again
        return {"snooze": True}
    return {}
