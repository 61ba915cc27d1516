"""The nemesis carries out its plan: several faults at a time, some alone, all written down."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from chaos import nemesis as module
from chaos.nemesis import Nemesis
from chaos.plan import Plan, Step
from chaos.world import Injected, NotHere, World


@dataclass
class Harm:
    name: str
    alone: bool = False
    effects: list[int] = field(default_factory=lambda: [1])
    error: Exception | None = None
    longest: float = 1.0

    async def inject(self, world, dose):
        Harm.inside.append(self.name)
        Harm.together |= {(one, other) for one in Harm.inside for other in Harm.inside}
        await asyncio.sleep(0.01)
        Harm.inside.remove(self.name)
        if self.error is not None:
            raise self.error
        effect = self.effects.pop(0) if len(self.effects) > 1 else self.effects[0]
        return Injected(name=self.name, began=1.0, healed=2.0, observed={"seen": effect})


@dataclass
class Server:
    is_up: bool

    async def answers(self, within):
        return self.is_up


@pytest.fixture
def carried_out(monkeypatch):
    """Carries out one step for each fault, each in a lane of its own; gives what was noted."""
    monkeypatch.setattr(module, "AGAIN", 0.0)
    Harm.inside, Harm.together = [], set()

    async def carry(*faults, until=lambda: False, at=0.0, answers=True, **weather):
        noted: list[dict[str, Any]] = []
        steps = tuple(
            Step(number=n, lane=n, fault=fault.name, dose=0.5, at=at, seed=n)
            for n, fault in enumerate(faults)
        )
        world = World(
            server=Server(answers),
            proxies={},
            workers=object(),
            random=Random(1),
            note=lambda *_: None,
        )
        plan = Plan(seed=1, size="mini", steps=steps)
        known = {fault.name: fault for fault in faults if fault.longest}
        await Nemesis(world, plan, known, lambda _, **facts: noted.append(facts), **weather).run(
            until
        )
        return {line["name"]: line for line in noted}

    return carry


async def test_faults_of_several_lanes_are_there_at_once(carried_out):
    noted = await carried_out(Harm("one"), Harm("other"))

    assert ("one", "other") in Harm.together
    assert [line["observed"] for line in noted.values()] == [{"seen": 1}, {"seen": 1}]


async def test_a_fault_that_is_to_be_alone_is(carried_out):
    await carried_out(Harm("one"), Harm("lonely", alone=True), Harm("other"))

    assert {pair for pair in Harm.together if "lonely" in pair} == {("lonely", "lonely")}


async def test_a_fault_that_met_nothing_is_tried_again(carried_out):
    noted = await carried_out(Harm("late", effects=[0, 0, 1]), Harm("vain", effects=[0]))

    assert noted["late"]["observed"] == {"seen": 1}
    assert noted["vain"]["observed"] == {"seen": 0}


async def test_what_the_machine_does_not_permit_is_told_and_is_no_failure(carried_out):
    noted = await carried_out(Harm("disk", error=NotHere("no mounts")), Harm("new", longest=0))

    assert noted["disk"]["absent"] == "no mounts"
    assert noted["new"]["absent"] == "unknown here"


async def test_a_fault_that_breaks_is_told_and_the_others_go_on(carried_out):
    noted = await carried_out(Harm("broken", error=OSError("gone")), Harm("other"))

    assert noted["broken"]["error"] == "OSError: gone"
    assert noted["broken"]["observed"] == {}
    assert noted["other"]["observed"] == {"seen": 1}


async def test_a_fault_that_cannot_be_alone_loses_its_turn_and_holds_up_nobody(
    carried_out, monkeypatch
):
    monkeypatch.setattr(module, "FOR_ROOM", 0.0)

    noted = await carried_out(Harm("one"), Harm("lonely", alone=True), Harm("other"))

    assert noted.keys() == {"one", "other"}


async def test_nothing_begins_once_the_time_is_over(carried_out):
    assert await carried_out(Harm("one"), until=lambda: True) == {}


async def test_what_is_due_in_a_calm_waits_for_the_next_storm(carried_out):
    began = time.monotonic()

    noted = await carried_out(Harm("late"), at=0.1, storm=0.05, calm=0.25)

    assert time.monotonic() - began >= 0.3
    assert noted["late"]["observed"] == {"seen": 1}


async def test_a_run_whose_server_is_gone_ends_and_says_so(carried_out):
    with pytest.raises(ExceptionGroup) as raised:
        await carried_out(Harm("any"), answers=False)

    [reason] = raised.value.exceptions
    assert isinstance(reason, module.ServerGone)
    assert Harm.together == set()
