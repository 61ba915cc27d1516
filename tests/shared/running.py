"""Workflows at the SQL door: how they stand, and how their jobs are run."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb


def flow(door: Any, workflow: Any) -> Any:
    [found] = door.rows("select * from howdah.workflows where id = %s", workflow)
    return found


def steps(door: Any, workflow: Any) -> dict[str, Any]:
    found = door.rows("select * from howdah.steps where workflow = %s order by place", workflow)
    return {step.name: step for step in found}


def run(door: Any, n: int = 1000, **results: Any) -> list[str]:
    """Claim and finish what is ready; gives the tasks, with results by task."""
    done = []
    for job in door.claim(n):
        done.append(job.task)
        door.ack(job, result=Jsonb(results.get(job.task)))
    return done


def settle(door: Any) -> None:
    """Have everything that was noted resolved."""
    while door.one("select exists (select from _howdah.pending)"):
        door.chores("admit")
