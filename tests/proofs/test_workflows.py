"""Workflows, at length: ends at the same instant, kills, and a hundred thousand jobs in one."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from howdah import App, Job, Workflow, workflows

pytestmark = pytest.mark.slow
RUNS = 10_000
WIDTH = 3
JOBS_OF_A_RUN = 3 + WIDTH
JOBS_A_KILL = 500  # jobs that end between two kills
STUCK_AFTER = 600  # seconds for so many, on a machine that has other things to do: then it is stuck
JOBS = 100_000
JOBS_A_SECOND = 10_000
SHOWN_WITHIN = 0.2
MEMORY = 128 << 20  # bytes, of a worker beyond what it began with, and of a backend of the server


def put_pipeline(connection: psycopg.Connection, name: str, order: int, *steps: Any) -> None:
    connection.execute(
        "select howdah.put_pipeline(%s, '1', %s, %s)", [name, order, Jsonb([*steps])]
    )


def test_a_hundred_pairs_of_last_pipelines_that_end_at_once_start_the_next_order_once_each(
    dsn: str, record: Any
) -> None:
    pairs, over = 100, threading.Event()
    with (
        psycopg.connect(dsn, autocommit=True) as db,
        psycopg.connect(dsn) as left,
        psycopg.connect(dsn) as right,
    ):
        for name, order in (("p2", 1), ("p3", 1), ("p4", 2)):
            put_pipeline(db, name, order, name)

        def admit() -> None:
            with psycopg.connect(dsn, autocommit=True) as admitting:
                while not over.is_set():
                    admitting.execute("select howdah.admit(100)")

        admitting = [threading.Thread(target=admit) for _ in range(2)]
        for thread in admitting:
            thread.start()
        for _ in range(pairs):
            db.execute("select howdah.start_request(array['p2', 'p3', 'p4'])")
            claimed = db.execute(
                "select id, lease from howdah.claim(n => 2, tasks => array['p2', 'p3'])"
            ).fetchall()
            assert len(claimed) == 2
            for connection, job in zip((left, right), claimed, strict=True):
                connection.execute("select howdah.ack(%s, %s)", job)
            committing = threading.Thread(target=right.commit)
            committing.start()
            left.commit()
            committing.join()
        until = time.monotonic() + 20
        count = "select count(*) from howdah.jobs where task = 'p4'"
        while db.execute(count).fetchall() != [(pairs,)] and time.monotonic() < until:
            time.sleep(0.01)
        over.set()
        for thread in admitting:
            thread.join()

        started = db.execute("select created from howdah.steps where name = 'p4/p4'").fetchall()
    assert Counter(n for (n,) in started) == {1: pairs}
    record("orders begun by two that end at once", pairs=pairs)


@pytest.mark.timeout(7200)
async def test_fan_outs_and_fan_ins_under_kills_lose_and_repeat_no_stage(
    dsn: str, work: Any, store: Any, eventually: Any, scaled: Any, record: Any
) -> None:
    runs, kills = scaled(RUNS, least=100), 0
    with psycopg.connect(dsn, autocommit=True) as db:
        put_pipeline(db, "fan", 1, "emit", "item", {"task": "merge", "gather": True})
        put_pipeline(db, "last", 2, "one")
        db.execute(
            "select count(howdah.start_request(array['fan', 'last'], %s))"
            " from generate_series(1, %s)",
            [Jsonb({"n": WIDTH}), runs],
        )

        def ended() -> int:
            return db.execute("select count(*) from _howdah.finished").fetchall()[0][0]

        began = time.monotonic()
        while (done := ended()) < runs * JOBS_OF_A_RUN:
            worker = work(processes=2, slots=50, lost_after=4)
            await worker.up(STUCK_AFTER)
            enough = min(done + JOBS_A_KILL, runs * JOBS_OF_A_RUN)
            await eventually(lambda: ended() >= enough, STUCK_AFTER, 0.1)  # noqa: B023 - at once
            worker.kill(children=worker.children())
            kills += 1
        worker = work(processes=2, slots=50, lost_after=4)
        open_ones = "select exists (select from _howdah.workflow where finished_at is null)"
        await eventually(lambda: db.execute(open_ones).fetchall() == [(False,)], STUCK_AFTER, 0.1)
        states = db.execute("select state, count(*) from howdah.workflows group by 1").fetchall()
        stages = db.execute(
            "select task, created, finished, count(*) from howdah.steps group by 1, 2, 3"
        ).fetchall()
        jobs = db.execute("select task, count(*) from howdah.jobs group by 1").fetchall()
        sums = db.execute(
            "select count(*) from _howdah.member m join _howdah.step s on s.id = m.step"
            " where s.name = 'fan/merge' and m.result = '6'"
        ).fetchall()

    assert states == [("succeeded", runs)]
    assert sorted(stages) == sorted(
        [
            ("emit", 1, 1, runs),
            ("item", WIDTH, WIDTH, runs),
            ("merge", 1, 1, runs),
            ("one", 1, 1, runs),
        ]
    )
    assert dict(jobs) == {"emit": runs, "item": WIDTH * runs, "merge": runs, "one": runs}
    assert sums == [(runs,)]
    assert kills >= max(1, runs * JOBS_OF_A_RUN // JOBS_A_KILL // 2)
    seconds = round(time.monotonic() - began)
    record("fan-out and fan-in under kills", runs=runs, kills=kills, took=f"{seconds} s")


def anonymous_memory(pid: int) -> int:
    """Bytes that this process alone holds; 0: it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if "RssAnon" in line)


def backends(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as db:
        found = "select pid from pg_stat_activity where datname = current_database()"
        return [pid for (pid,) in db.execute(found)]


@pytest.mark.timeout(300)
async def test_a_hundred_thousand_jobs_in_one_workflow(dsn: str, scaled: Any, record: Any) -> None:
    jobs = scaled(JOBS, least=1_000)
    async with App(dsn) as app:

        @app.task(name="one")
        async def one(n: int = 0) -> None: ...

        flow = (
            Workflow("wide")
            .add("first", one.job())
            .map("each", one, range(jobs - 2), after="first")
        )
        flow.add("last", Job("one", "{}"), after="each")
        shown: list[float] = []
        held_before, held, backend = anonymous_memory(os.getpid()), 0, 0
        began = time.monotonic()
        run_id = await app.enqueue(flow)
        async with app.worker(slots=200):
            run = None
            while run is None or run.finished_at is None:
                await asyncio.sleep(0.25)
                held = max(held, anonymous_memory(os.getpid()) - held_before)
                backend = max(backend, *map(anonymous_memory, backends(dsn)))
                at = time.monotonic()
                run = await app.run(workflows.get(run_id))
                await app.run(workflows.steps(run_id))
                shown.append(time.monotonic() - at)
        pace = jobs / (time.monotonic() - began)

    assert (run.state, run.succeeded, run.percent) == ("succeeded", jobs, 100)
    record("showing a workflow", shown, SHOWN_WITHIN, jobs=jobs, jobs_per_second=round(pace),
           worker_held=f"{held >> 20} MiB", backend_held=f"{backend >> 20} MiB")  # fmt: skip
    assert max(shown) < SHOWN_WITHIN
    assert max(held, backend) < MEMORY
    assert pace >= JOBS_A_SECOND


# All jobs end, with results of a megabyte each: more than one JSON value can hold.
ALL_ARE_LARGE = """
with ended as (update _howdah.member set state = 'S', result = to_jsonb(repeat('x', 1000000))
               returning step),
told as (insert into _howdah.tally (workflow, step, state, n)
         select s.workflow, s.id, 'S', count(*) from ended e join _howdah.step s on s.id = e.step
         group by s.workflow, s.id returning workflow),
gone as (delete from _howdah.job where task = 'a')
insert into _howdah.pending (kind, key) select 'w', workflow::text from told
"""


def test_what_no_json_value_can_hold_fails_the_step_and_stops_no_workflow(dsn: str) -> None:
    many = {"name": "a", "task": "a", "each": [{}] * 300}
    of_each = {"pipeline": True, "step": "a"}
    of_all = [
        {"name": "b", "task": "b", "refs": {"all": {"gather": "a"}}},
        {"name": "c", "task": "c", "refs": {"all": {"outcomes": "a"}}},
        {"name": "d", "task": "d", "each": {"step": "a"}},
        {"name": "e", "task": "e", "each": {**of_each, "gather": "a"}},
        {"name": "f", "task": "f", "each": of_each},
    ]
    with psycopg.connect(dsn, autocommit=True) as db:
        for flow in ([many, *of_all], [many]):
            db.execute("select howdah.start_workflow('w', %s)", [Jsonb(flow)])
        db.execute(ALL_ARE_LARGE)
        while db.execute("select from _howdah.pending").fetchall():
            db.execute("select howdah.admit(100)")
        steps = db.execute(
            "select name, state, error from howdah.steps where name <> 'a' order by place"
        )
        flows = db.execute("select state, error, result from howdah.workflows order by id")

        assert [(name, state, "argument" in error) for name, state, error in steps] == [
            (name, "failed", True) for name in "bcdef"
        ]
        assert flows.fetchall() == [("failed", None, None), ("succeeded", None, None)]
