"""Many who cancel, retry, run and add at once: nobody meets, nothing is stuck, all is counted."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from threading import Thread
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from running import flow, settle

STEPS = [
    {"name": "a", "task": "t", "each": [{}] * 5},
    {"name": "b", "task": "t", "each": [{}] * 5, "after": ["a"]},
    {"name": "c", "task": "t", "refs": {"x": {"gather": "b"}}, "after": {"a": "ignore"}},
    {"name": "d", "task": "t", "each": [{}] * 3, "after": ["c", "b"]},
]
REFUSALS = {"JQ002", "JQ003", "JQ004"}  # of what has moved on in the meantime
MISCOUNTED = """
    select s.name from _howdah.step s join _howdah.member m on m.step = s.id group by s.id
    having (s.succeeded, s.failed, s.cancelled) <> (count(*) filter (where m.state = 'S'),
        count(*) filter (where m.state = 'F'), count(*) filter (where m.state = 'C'))
"""
SECONDS = 10


def meddle(door: Any, chance: Random, jobs: list[Any], flows: list[Any]) -> None:
    """Something that somebody may do."""
    which = chance.random()
    if which < 0.35:
        door.value("retry", id=chance.choice(jobs))
    elif which < 0.5:
        door.value("cancel", id=chance.choice(jobs))
    elif which < 0.52:
        door.value("cancel_workflow", id=chance.choice(flows))
    elif which < 0.56:
        door.value("retry_workflow", id=chance.choice(flows), whole=chance.random() < 0.3)
    elif which < 0.6:
        door.chores()
    else:
        for job in door.claim(chance.randint(1, 4)):
            end(door, chance, job)


def end(door: Any, chance: Random, job: Any) -> None:
    if chance.random() < 0.3:
        door.nack(job, retry=False)
    else:
        more = Jsonb([{"name": f"more {chance.randint(1, 6)}", "task": "t"}])
        door.finish([job], results=[Jsonb(1)], steps=[more] if chance.random() < 0.2 else None)


@pytest.mark.slow
def test_nothing_is_stuck_and_all_is_counted(door: Any, another_door: Callable[..., Any]) -> None:
    chance = Random(7)
    flows = [door.value("start_workflow", name="w", steps=Jsonb(STEPS)) for _ in range(3)]
    jobs = [row.job_id for row in door.rows("select job_id from _howdah.member")]
    parents = [door.enqueue("t") for _ in range(5)]
    for _ in range(2):
        parents = [door.enqueue("t", after=chance.sample(parents, 2)) for _ in range(10)]
        jobs += parents
    unexpected: list[str] = []
    until = monotonic() + SECONDS

    def hand(seed: int) -> None:
        mine, own = Random(seed), another_door()
        while monotonic() < until:
            try:
                meddle(own, mine, jobs, flows)
            except psycopg.Error as error:
                if error.sqlstate not in REFUSALS:
                    unexpected.append(str(error))

    hands = [Thread(target=hand, args=(seed,)) for seed in range(4)]
    for each in hands:
        each.start()
    for each in hands:
        each.join()
    settle(door)
    while left := door.claim(100):
        door.finish(left)
        settle(door)

    assert unexpected == []
    assert door.one("select count(*) from _howdah.job") == 0
    assert door.rows(MISCOUNTED) == []
    assert {flow(door, w).state for w in flows} <= {"succeeded", "failed", "cancelled"}
