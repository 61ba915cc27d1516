"""Which workflows a producer starts, and what each is to become: pure, and all from its chance.

A flow is a request of pipelines or a graph, of the same five steps: `emit` says for what there are
to be jobs, each `item` is one of them, `side` goes beside, `join` gathers the items, and `last`
comes last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

WIDTHS = (0, 1, 2, 3, 3, 3, 5, 8)
PIPELINES = {
    "fan": (1, ["emit", "item", "join"]), "side": (1, ["side"]), "last": (2, ["last"]),
}  # fmt: skip
GATHERS = "join"
AFTER = {  # for whose ends each step waits
    "request": {
        "emit": (), "item": ("emit",), "side": (), "join": ("item",), "last": ("join", "side"),
    },
    "graph": {
        "emit": (), "item": ("emit",), "side": ("emit",), "join": ("item", "side"),
        "last": ("join",),
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One to be started."""

    key: int
    shape: str  # request or graph
    width: int  # how many items

    @property
    def name(self) -> str:
        """By which the checker knows it."""
        return f"flow {self.key}"

    @property
    def args(self) -> dict[str, Any]:
        """Of its first job."""
        return {"run": self.key, "width": self.width}


def flow(chance: Random, key: int) -> Flow:
    """The flow of this key."""
    return Flow(key=key, shape=chance.choice([*AFTER]), width=chance.choice(WIDTHS))


def jobs_of(width: int) -> dict[str, int]:
    """How many jobs each step is to have."""
    return {"emit": 1, "item": width, "side": 1, "join": 1, "last": 1}


def steps(one: Flow) -> str:
    """The steps of a graph, as the store takes them."""
    made: list[dict[str, Any]] = []
    for name, after in AFTER["graph"].items():
        args: dict[str, Any] = {"run": one.key, "config": {"step": name}}
        step: dict[str, Any] = {"name": name, "task": "stage", "args": args, "after": [*after]}
        if name == "emit":
            args["width"] = one.width
        elif name == "item":
            step["each"] = {"step": "emit", "as": "item"}
        elif name == GATHERS:
            step["refs"] = {"items": {"gather": "item"}}
        made.append(step)
    return json.dumps(made)


def pipeline_steps(names: list[str]) -> str:
    """The steps of a pipeline, as the store takes them."""
    return json.dumps([
        {"task": "stage", "name": name, "config": {"step": name}, "gather": name == GATHERS}
        for name in names
    ])  # fmt: skip
