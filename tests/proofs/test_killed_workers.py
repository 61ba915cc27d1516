"""A whole worker is killed, parent and children: others run its jobs, with the defaults."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import pytest

KILLS = 20
SIDE_BY_SIDE = 5  # databases, each with workers of its own: to wait takes no core
SLOTS = 50  # of each of two processes: neither can have all jobs
HELD = {"hold": 47, "hold_in_thread": 30, "hold_in_process": 2}  # run when it is killed
JOBS = sum(HELD.values()) + 1  # and one that blocks its loop
AGAIN = (3.0, 10.0)  # seconds that they take elsewhere: one by one, or ten at once, is too slow
BYSTANDERS, DONE = 20, 20  # jobs that others run meanwhile, and that it had finished

pytestmark = pytest.mark.slow


@dataclass
class Seen:
    """What the kills showed."""

    elsewhere: list[float] = field(default_factory=list)  # from a kill to the start of each job
    children: list[float] = field(default_factory=list)  # from a kill to the end of the children
    at_once: list[int] = field(default_factory=list)  # how many ran elsewhere at the same time
    rerun: set[UUID] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("connections", "settings", "limit"),
    [("direct", {}, 12.0), ("behind a pooler", {"prepare": "false"}, 37.0)],
)
async def test_all_that_a_killed_worker_ran_runs_elsewhere_in_time(
    work, databases, ledger_at, eventually, is_alive, scaled, chance, record,
    connections, settings, limit,
):  # fmt: skip
    seen, kills = Seen(), scaled(KILLS, least=2)
    lanes = min(SIDE_BY_SIDE, kills)

    async def lane(number, store):
        """Each newcomer takes over the jobs of the one before it, and then has its own to lose."""
        ledger, lost, others = ledger_at(number), set(), set()
        of = {"dsn": store.dsn, "ledger": ledger, "processes": 2, "slots": SLOTS, **settings}
        of["process_slots"] = 1
        worker = work(queues=["shared", "own-0"], **of)
        await worker.up()
        for turn in range(kills // lanes + (number < kills % lanes)):
            gate = ledger.gate(turn)
            done = _enqueued(store, "shared", {"nap": DONE}, seconds=0.05)
            await eventually(lambda of=done: store.states(of)["succeeded"] == DONE, within=20)
            jobs = _held(store, chance, gate)
            await eventually(lambda of=jobs: _run(ledger, of), within=30, every=0.05)
            jobs += _enqueued(store, "shared", {"block": 1})  # what comes later does not begin
            await eventually(lambda of=jobs: _run(ledger, of), every=0.05)
            newcomer = work(queues=["shared", f"own-{turn + 1}"], **of)
            await newcomer.up()
            bystanders = _enqueued(store, f"own-{turn + 1}", {"hold": BYSTANDERS}, gate=str(gate))
            await eventually(lambda of=bystanders: _run(ledger, of), every=0.05)
            children = worker.children()
            seen.wrong += _not_run_by(children, store, jobs, turn)

            worker.kill(children=children if (number + turn) % 2 else ())
            at = time.monotonic()
            await eventually(lambda of=children: not any(map(is_alive, of)))
            seen.children.append(time.monotonic() - at)
            await eventually(
                lambda of=jobs: store.states(of)["succeeded"] == JOBS, within=90, every=0.1
            )
            again = [n for n in ledger.lines("start") if n["at"] > at]
            seen.elsewhere += [line["at"] - at for line in again]
            seen.at_once.append(_most_at_once(ledger, at))
            gate.touch()
            await eventually(lambda of=bystanders: store.states(of)["succeeded"] == BYSTANDERS)
            lost |= {*jobs}
            others |= {*done, *bystanders}
            worker = newcomer
            await worker.up()
        seen.rerun |= {job for job, n in ledger.starts().items() if n > 1}
        seen.wrong += _what_is_wrong(store, ledger, lost, others)

    async with asyncio.TaskGroup() as group:
        for number, store in enumerate(databases(lanes)):
            group.create_task(lane(number, store))

    figures = record(
        f"worker killed, {connections}: its jobs run elsewhere", seen.elsewhere, limit,
        kills=len(seen.children), side_by_side=lanes, ran_when_killed=JOBS, rerun=len(seen.rerun),
        least_at_once_elsewhere=min(seen.at_once, default=0), wrong=len(seen.wrong),
    )  # fmt: skip
    record(f"worker killed, {connections}: its children are gone", seen.children, 1.0)
    assert seen.wrong == []
    assert len(seen.elsewhere) == len(seen.rerun) == kills * JOBS
    assert figures["max"] <= limit
    assert max(seen.children) <= 1.0


def _enqueued(store, queue, kinds, **args):
    options = {"queue": queue}
    return [store.enqueue(kind, options=options, **args) for kind, n in kinds.items()
            for _ in range(n)]  # fmt: skip


def _held(store, chance, gate):
    args = {"gate": str(gate)}
    kinds = [kind for kind, n in HELD.items() for _ in range(n)]
    return [
        job for kind in kinds
        for job in _enqueued(store, "shared", {kind: 1}, again=chance.uniform(*AGAIN), **args)
    ]  # fmt: skip


def _run(ledger, jobs):
    return {*jobs} <= {*ledger.starts()}


def _not_run_by(children, store, jobs, turn):
    """Each child has its share of the jobs, and nobody else has any."""
    found = store.rows(
        "select worker, count(*) as n from howdah.running where id = any(%s) group by worker", jobs
    )
    shares = {row.worker: row.n for row in found}
    right = {*shares} == {*children.values()} and sum(shares.values()) == JOBS
    return [] if right else [f"turn {turn}: run by {shares}, not {children}"]


def _most_at_once(ledger, since):
    """How many of the jobs that started after a moment ran at the same time."""
    started = {line["job"] for line in ledger.lines("start") if line["at"] > since}
    steps = sorted(
        (line["at"], 1 if line["what"] == "start" else -1)
        for line in ledger.lines("start", "end")
        if line["at"] > since and line["job"] in started
    )
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


def _what_is_wrong(store, ledger, lost, others):
    """Those that ran when it was killed ran once more, all others once; none was charged."""
    expected = Counter({**dict.fromkeys(lost, 2), **dict.fromkeys(others, 1)})
    wrong = [f"{job} started {ledger.starts()[job]} times, not {n}" for job, n in expected.items()
             if ledger.starts()[job] != n]  # fmt: skip
    wrong += [f"{job} ended {n} times" for job, n in ledger.ends().items() if n != 1]
    outcomes = store.outcomes()
    if store.charged() or outcomes["lost"] != len(lost) or {*outcomes} - {"lost", "released"}:
        wrong.append(f"{store.charged()} charged, {outcomes}")
    return wrong
