"""A whole worker is killed, parent and children: others run its jobs, with the defaults."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import pytest

KILLS = 20
SIDE_BY_SIDE = 5  # databases, each with workers of its own: to wait takes no core
JOBS = 6

pytestmark = pytest.mark.slow


@dataclass
class Seen:
    """What the kills showed."""

    elsewhere: list[float] = field(default_factory=list)  # from a kill to the start of each job
    children: list[float] = field(default_factory=list)  # from a kill to the end of the children
    wrong: list[str] = field(default_factory=list)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("connections", "settings", "limit"),
    [("direct", {}, 12.0), ("behind a pooler", {"prepare": "false"}, 37.0)],
)
async def test_jobs_of_a_killed_worker_run_elsewhere_in_time(
    work, databases, ledger_at, eventually, is_alive, scaled, record, connections, settings, limit
):
    seen, kills = Seen(), scaled(KILLS, least=2)
    lanes = min(SIDE_BY_SIDE, kills)

    async def lane(number, store):
        """Each newcomer takes over the jobs of the one before it, and then has its own to lose."""
        ledger = ledger_at(number)
        of = {"dsn": store.dsn, "ledger": ledger, "processes": 2, "slots": JOBS, **settings}
        worker = work(queues=["shared", "own-0"], **of)
        await worker.up()
        for turn in range(kills // lanes + (number < kills % lanes)):
            gate = ledger.gate(turn)
            jobs = _held(store, "shared", gate)
            await eventually(lambda of=jobs: {*of} <= {*ledger.starts()})
            jobs.append(store.enqueue("block", options={"queue": "shared"}))
            await eventually(lambda of=jobs: {*of} <= {*ledger.starts()})
            newcomer = work(queues=["shared", f"own-{turn + 1}"], **of)
            await newcomer.up()
            bystanders = _held(store, f"own-{turn + 1}", gate)
            await eventually(lambda of=bystanders: {*of} <= {*ledger.starts()})
            children = worker.children()

            worker.kill()
            at = time.monotonic()
            await eventually(lambda of=children: not any(map(is_alive, of)))
            seen.children.append(time.monotonic() - at)
            await eventually(
                lambda of=jobs: store.states(of)["succeeded"] == len(of), within=60, every=0.05
            )
            again = [n for n in ledger.lines("start") if n["at"] > at]
            seen.elsewhere += [line["at"] - at for line in again]
            gate.touch()
            await eventually(lambda of=bystanders: store.states(of)["succeeded"] == JOBS)
            if sorted(line["job"] for line in again) != sorted(map(str, jobs)):
                seen.wrong.append(f"lane {number}, turn {turn}: {again}")
            worker = newcomer
            await worker.up()
        seen.wrong += [f"{n} charged" for n in [store.charged()] if n]
        seen.wrong += [f"{job} ended {n} times" for job, n in ledger.ends().items() if n != 1]

    async with asyncio.TaskGroup() as group:
        for number, store in enumerate(databases(lanes)):
            group.create_task(lane(number, store))

    figures = record(
        f"worker killed, {connections}: its jobs run elsewhere", seen.elsewhere, limit,
        kills=len(seen.children), side_by_side=lanes, wrong=len(seen.wrong),
    )  # fmt: skip
    record(f"worker killed, {connections}: its children are gone", seen.children, 1.0)
    assert seen.wrong == []
    assert len(seen.elsewhere) == kills * (JOBS + 1)
    assert figures["max"] <= limit
    assert max(seen.children) <= 1.0


def _held(store, queue, gate):
    options = {"queue": queue}
    return [store.enqueue("hold", gate=str(gate), options=options) for _ in range(JOBS)]
