"""Keyed work with workers that are killed: in order, one at a time, within limits and rates."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise
from statistics import median
from uuid import UUID

import pytest

BATCH = 500
KILLS_OF_A_WORKER = 3
LEASE = 2.5  # seconds
RESCUE = 7.0  # a child: at once by its parent, or when it was silent for 5 s, and a round of chores
pytestmark = pytest.mark.slow


# In order, one at a time


@pytest.mark.timeout(1800)
async def test_fifty_thousand_jobs_of_500_keys_run_in_order_while_workers_are_killed(
    work, store, ledger, scaled, chance, record
):
    jobs, keys = scaled(50_000, least=5000), 500
    workers = [work(processes=2, slots=40) for _ in range(2)]
    for worker in workers:
        await worker.up()
    sent: dict[UUID, Sent] = {}
    kills = _Kills(lambda: work(processes=2, slots=40), workers, chance)

    async def send() -> None:
        for number in range(0, jobs, BATCH):
            wanted = [f"k{chance.randrange(keys)}" for _ in range(min(BATCH, jobs - number))]
            sent.update(await asyncio.to_thread(_send, store, wanted))

    async with asyncio.TaskGroup() as group:
        killing = group.create_task(kills.go_on(every=0.5))
        await group.create_task(send())
        await _until_done(store, jobs, within=1500)
        killing.cancel()

    wrong = _out_of_order(ledger, sent)
    record("keyed: 500 serial keys, workers killed", kills=len(kills.at), jobs=jobs,
           attempts=len(ledger.lines("start")), inversions=len(wrong["inversions"]),
           overlaps=len(wrong["overlaps"]))  # fmt: skip
    assert wrong == {"inversions": [], "overlaps": []}
    assert {*ledger.starts()} == {*sent}
    assert kills.at
    assert store.states()["succeeded"] == jobs


@pytest.mark.timeout(300)
async def test_three_hundred_jobs_of_one_key_and_12_workers(work, store, ledger, record):
    workers = [work(processes=2, slots=20) for _ in range(6)]
    for worker in workers:
        await worker.up(within=60)

    began = time.monotonic()
    sent = _send(store, ["only"] * 300)
    await _until_done(store, 300, within=60)
    took = time.monotonic() - began

    order = [UUID(line["job"]) for line in ledger.lines("start")]
    record("keyed: one serial key, 12 workers", [took], jobs=300)
    assert order == [*sent]
    assert _out_of_order(ledger, sent) == {"inversions": [], "overlaps": []}
    assert store.outcomes() == {}
    assert store.charged() == 0


@pytest.mark.timeout(180)
async def test_mq07_a_killed_worker_leaves_its_keys_to_others_and_the_cursors_unharmed(
    work, store, ledger, eventually, record
):
    """MQ-07: of one key the killed job is tried again, of the other it may not be."""
    tasks = {"again": "hold", "once": "hold_once"}
    store.rows("select howdah.set_cursor(k, '{\"n\": 5}') from unnest(%s::text[]) k", [*tasks])
    store.do(
        "select howdah.put_listener('ears', event => 'job.*', task => 'hear', queue => 'ears')"
    )
    store.do("select howdah.pause('ears')")
    doomed = work(processes=1, lost_after=LEASE)
    children = await doomed.up()
    gate = ledger.gate("all")
    lost = {key: _held(store, task, key, gate) for key, task in tasks.items()}
    await eventually(lambda: ledger.starts().keys() >= {*lost.values()}, within=30)
    await work(processes=1, lost_after=LEASE).up()
    waiting = {key: _held(store, "hold", key, ledger.gate("second")) for key in tasks}

    at = time.monotonic()
    doomed.kill(children=children)
    await eventually(lambda: store.outcomes()["lost"] == 2, within=10 * LEASE)
    seconds = time.monotonic() - at

    record("keyed: worker killed, its keys' jobs are lost", [seconds], LEASE + 1)
    assert seconds < LEASE + 1
    assert store.states([lost["once"]]) == {"failed": 1}
    await eventually(lambda: ledger.starts()[waiting["once"]], within=30)
    store.rows("select howdah.retry(%s)", lost["once"])
    assert str(waiting["once"]) in store.one("select howdah.why(%s)", lost["once"])
    await eventually(lambda: ledger.starts()[lost["again"]] == 2, within=30)
    gate.touch()
    ledger.gate("second").touch()
    await eventually(lambda: store.states()["succeeded"] == 4, within=30)
    assert {key: _order_of(ledger, store, key) for key in tasks} == {
        "again": [lost["again"], lost["again"], waiting["again"]],
        "once": [lost["once"], waiting["once"], lost["once"]],
    }
    assert _cursors(store) == {key: {"n": 5} for key in tasks}
    told = store.rows("select args -> 'event' as event from howdah.jobs where queue = 'ears'")
    of_lost = [each.event for each in told if each.event["name"] == "job.failed.default.hold_once"]
    assert [event["data"]["id"] for event in of_lost] == [str(lost["once"])]
    assert len({tuple(sorted(each.event["data"])) for each in told}) == 1
    assert len(told) == 5


# One key keeps no other waiting


@pytest.mark.timeout(300)
async def test_a_blocked_key_does_not_delay_the_others(
    work, store, ledger, scaled, record, eventually
):
    await work(processes=2, slots=20).up()
    gate = ledger.gate("blocked")
    delays: dict[str, list[float]] = {"without": [], "with": []}

    for turn in range(5):
        await eventually(lambda: store.states().keys() <= {"succeeded", "cancelled"}, within=60)
        await _nothing_pending(store)
        delays["without"].append(await _p99_of_a_load(store, ledger))
        blocked = _block(store, gate, scaled(10_000, least=1000), f"blocked-{turn}")
        await _nothing_pending(store)
        delays["with"].append(await _p99_of_a_load(store, ledger))
        store.rows("select howdah.cancel(id) from unnest(%s) id", blocked)

    ratio = median(delays["with"]) / median(delays["without"])
    record("keyed: p99 start delay of other keys, one is blocked", delays["with"])
    record("keyed: the same, none is blocked", delays["without"], ratio=round(ratio, 2))
    gate.touch()
    assert ratio <= 1.5


@pytest.mark.timeout(300)
async def test_a_hundred_thousand_blocked_jobs_in_front_do_not_slow_claims(
    databases, scaled, record
):
    free, crowded = databases(2)
    for number in range(0, waiting := scaled(100_000, least=10_000), 10_000):
        _send(crowded, ["blocked"] * min(10_000, waiting - number))
    [crowd] = crowded.rows("select * from howdah.claim()")
    assert crowd.serial_key == "blocked"
    for store in (free, crowded):
        _send(store, [f"k{number % 1000}" for number in range(8000)])
        store.do("vacuum analyze _howdah.job")
        assert store.one("select howdah.admit()") == 1000

    seconds = defaultdict(list)
    for _ in range(60):
        for name, store in (("free", free), ("crowded", crowded)):
            seconds[name].append(_claim_and_finish(store, 20))

    ratio = median(f / c for f, c in zip(seconds["free"], seconds["crowded"], strict=True))
    record("keyed: claim, finish, admit 20 jobs behind a blocked key", seconds["crowded"])
    record("keyed: the same without", seconds["free"], rate=round(ratio, 2))
    assert ratio >= 0.8


# Limits and rates


@pytest.mark.timeout(900)
async def test_never_four_of_a_limit_of_three_while_workers_are_killed(
    work, store, ledger, scaled, chance, record
):
    jobs = scaled(20_000, least=2000)
    store.do("select howdah.put_limit('tenant:*', 3)")
    keys = [f"tenant:{chance.randrange(200)}" for _ in range(jobs)]
    workers = [work(processes=2, slots=40) for _ in range(4)]
    for worker in workers:
        await worker.up(within=60)
    key_of = _limited(store, keys)
    kills = _Kills(lambda: work(processes=2, slots=40), workers, chance, store)

    async with asyncio.TaskGroup() as group:
        killing = group.create_task(kills.go_on(every=1.0))
        await _until_done(store, jobs, within=600)
        killing.cancel()

    most = _most_at_once(ledger, key_of, kills.at)
    record("keyed: limit 3 of 200 keys, 8 workers: places come back", kills.freed, RESCUE,
           kills=len(kills.at), jobs=jobs, most_at_once=max(most.values()))  # fmt: skip
    assert kills.freed
    assert max(kills.freed) <= RESCUE
    assert max(most.values()) == 3
    assert store.one("select count(*) from _howdah.place") == 0
    assert store.states()["succeeded"] == jobs


@pytest.mark.timeout(300)
@pytest.mark.parametrize("burst", [100, 25])
async def test_a_rate_of_100_a_second_is_used_and_never_passed(
    work, store, ledger, scaled, record, burst
):
    """Each span begins when somebody has seen that it may: of short ones more is lost."""
    seconds, per_second = scaled(30, least=5), 100
    store.do(f"select howdah.put_rate('api', {per_second}, '1 second', {burst})")
    workers = [work(processes=2, slots=20) for _ in range(4)]
    for worker in workers:
        await worker.up(within=60)

    _limited(store, ["api"] * (per_second * seconds + 200), seconds=0.0)
    await _until_done(store, per_second * seconds, within=3 * seconds + 20)

    starts = sorted(row.started_at for row in store.rows(
        "select started_at from howdah.jobs where started_at is not null"))  # fmt: skip
    used = sum(at < starts[0] + timedelta(seconds=seconds) for at in starts)
    most = _most_in_a_span(starts, timedelta(seconds=1))
    most_together = _most_in_a_span(starts, timedelta(seconds=burst / per_second))
    record("keyed: rate 100/s, 8 workers", burst=burst, lasted=seconds, started=used,
           most_in_a_second=most, most_in_a_burst=most_together)  # fmt: skip
    assert most <= per_second
    assert most_together <= burst
    assert used >= 0.95 * per_second * seconds


# What the proofs send


class Sent:
    """A job: its key, and when the call that enqueued it began and returned."""

    def __init__(self, key: str, began: float, returned: float) -> None:
        self.key, self.began, self.returned = key, began, returned


def _send(store, keys, task="nap", **args):
    args = args or {"seconds": 0.0}
    jobs = [{"task": task, "serial_key": key, "args": args} for key in keys]
    began = time.monotonic()
    found = store.rows(
        "select id from howdah.enqueue_json(%s::jsonb) order by ordinal", json.dumps(jobs)
    )
    returned = time.monotonic()
    return {row.id: Sent(key, began, returned) for row, key in zip(found, keys, strict=True)}


def _held(store, task, key, gate):
    """A job of a key that goes on until the gate is open, the first time."""
    return store.enqueue(task, options={"serial_key": key}, gate=str(gate))


def _limited(store, keys, seconds=0.1):
    key_of = {}
    for number in range(0, len(keys), BATCH):
        part = keys[number : number + BATCH]
        jobs = [{"task": "nap", "limit_keys": [key], "args": {"seconds": seconds}} for key in part]
        found = store.rows(
            "select id from howdah.enqueue_json(%s::jsonb) order by ordinal", json.dumps(jobs)
        )
        key_of |= {row.id: key for row, key in zip(found, part, strict=True)}
    return key_of


def _block(store, gate, n, key):
    """A job that does not end, and many that wait for it."""
    head = _send(store, [key], "hold", gate=str(gate))
    return [*head, *_send(store, [key] * n)]


async def _nothing_pending(store):
    """What ten thousand jobs leave to be looked at, stored or cancelled in one go, is over."""
    until = time.monotonic() + 30
    while store.one("select _howdah.is_pending()"):
        assert time.monotonic() < until, "something is pending for ever"
        await asyncio.sleep(0.05)


async def _p99_of_a_load(store, ledger, n=400, keys=50):
    """How late jobs of many keys start, of an even load."""
    sent = {}
    for number in range(n):
        sent |= _send(store, [f"free-{number % keys}"])
        await asyncio.sleep(0.005)
    until = time.monotonic() + 30
    while not {*sent} <= {*ledger.starts()}:
        assert time.monotonic() < until, "jobs of a key that nobody holds do not start"
        await asyncio.sleep(0.05)
    delays = sorted(
        line["at"] - sent[UUID(line["job"])].returned
        for line in ledger.lines("start")
        if UUID(line["job"]) in sent
    )
    return delays[int(0.99 * len(delays))]


def _claim_and_finish(store, n):
    began = time.perf_counter()
    jobs = store.rows("select id, lease from howdah.claim(n => %s)", n)
    store.rows(
        "select * from howdah.finish(%s, %s)", [job.id for job in jobs], [job.lease for job in jobs]
    )
    store.rows("select howdah.admit()")
    assert len(jobs) == n
    return time.perf_counter() - began


async def _until_done(store, n, within):
    until = time.monotonic() + within
    while (done := store.one("select count(*) from _howdah.finished where state = 'S'")) < n:
        assert time.monotonic() < until, f"{done} of {n} jobs are done"
        await asyncio.sleep(0.25)


class _Kills:
    """Kills one child after the other, and sees when the places of its jobs are free.

    A parent starts children that die often ever later: after some there is a new one.
    """

    def __init__(self, start, workers, chance, store=None):
        self._start, self._workers, self._chance, self._store = start, workers, chance, store
        self._of: Counter[str] = Counter()
        self.at: dict[int, float] = {}  # process ids
        self.freed: list[float] = []

    async def go_on(self, every):
        while True:
            await asyncio.sleep(every)
            number = self._chance.randrange(len(self._workers))
            worker = self._workers[number]
            if self._of[worker.name] == KILLS_OF_A_WORKER:
                self._workers[number] = self._start()
                await self._workers[number].up(within=60)
                await worker.stop()
                continue
            if not (children := worker.children()):
                continue
            pid = self._chance.choice([*children])
            self._of[worker.name] += 1
            self.at[pid] = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            if self._store is not None:
                await self._see(children[pid], self.at[pid])

    async def _see(self, worker, since):
        held = "select 1 from _howdah.lease l join _howdah.job j on j.lease = l.lease"
        held += " join _howdah.place p on p.job_id = j.id where l.worker = %s limit 1"
        while self._store.rows(held, worker):  # noqa: ASYNC110 - the store has no Event
            await asyncio.sleep(0.01)
        self.freed.append(time.monotonic() - since)


# What the ledger and the store say


def _order_of(ledger, store, key):
    of_key = {row.id for row in store.rows("select id from howdah.jobs where serial_key = %s", key)}
    starts = [UUID(line["job"]) for line in ledger.lines("start")]
    return [job for job in starts if job in of_key]


def _cursors(store):
    return {row.key: row.cursor for row in store.rows("select key, cursor from howdah.cursors")}


def _out_of_order(ledger, sent):
    """Pairs of one key of which the later began before the earlier had come to its end."""
    lines = defaultdict(list)
    for line in ledger.lines("start", "end"):
        lines[sent[UUID(line["job"])].key].append(line)
    wrong = {"inversions": [], "overlaps": []}
    for of_key in lines.values():
        first, last, open_one = {}, {}, None
        for place, line in enumerate(of_key):  # in the order in which they were written
            job = UUID(line["job"])
            if line["what"] == "start":
                first.setdefault(job, place)
                if open_one not in (None, job):
                    wrong["overlaps"].append((open_one, job))
            last[job] = place
            open_one = job if line["what"] == "start" else None
        wrong["inversions"] += [
            (earlier, later)
            for later in first
            for earlier in first
            if sent[earlier].returned < sent[later].began and last[earlier] > first[later]
        ]
    return wrong


def _most_at_once(ledger, key_of, killed):
    """Of each key; an attempt of a process that was killed ended then."""
    steps = defaultdict(list)
    ends = {(line["job"], line["pid"]): line["at"] for line in ledger.lines("end")}
    for line in ledger.lines("start"):
        end = ends.get((line["job"], line["pid"]), killed.get(line["pid"]))
        assert end is not None, f"nobody knows how {line} ended"
        steps[key_of[UUID(line["job"])]] += [(line["at"], 1), (end, -1)]
    most = Counter()
    for key, of_key in steps.items():
        running = 0
        for _, step in sorted(of_key):
            running += step
            most[key] = max(most[key], running)
    return most


def _most_in_a_span(starts, span):
    """How many of these moments lie together in any span of this length."""
    assert all(one <= other for one, other in pairwise(starts))
    most = since = 0
    for number, at in enumerate(starts):
        while starts[since] <= at - span:
            since += 1
        most = max(most, number - since + 1)
    return most
