"""Jobs that wait in procrastinate, put there by its own code, come over: once, or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest

from howdah import App, Conflict, NotFound
from howdah.importing import Plan, import_jobs, moving, procrastinate

THERE = procrastinate("theirs")
LIST = (
    "select id, task, args, queue, priority, run_at, max_attempts, serial_key, state, headers "
    "from howdah.jobs order by priority desc, id"
)


@pytest.fixture
def db(db: psycopg.Connection, theirs: Any) -> psycopg.Connection:
    """A connection that finds their tables as their triggers want it."""
    db.execute("set search_path = public, theirs")
    return db


def plan(ours: App, **more: Any) -> Plan:
    return Plan(known=ours.tasks, **more)


def statuses(db: psycopg.Connection) -> dict[str, int]:
    return dict(
        db.execute(
            "select status::text, count(*) from theirs.procrastinate_jobs group by status"
        ).fetchall()
    )


def args(db: psycopg.Connection) -> list[int]:
    rows = db.execute("select (args->>'n')::int from howdah.jobs order by 1").fetchall()
    return [row[0] for row in rows]


async def test_what_is_said_of_a_job_is_said_here(theirs, ours, here, db):
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    configured = theirs.pay.configure(
        priority=-7, lock="account:1", queueing_lock="pay:1", schedule_at=due, queue="night"
    )
    await configured.defer_async(n=1)
    db.execute("update theirs.procrastinate_jobs set attempts = 3")

    report = await import_jobs(here, THERE, plan(ours, queues={"night": "nights"}))

    [[job_id, task, given, queue, priority, run_at, attempts, serial, state, headers]] = db.execute(
        LIST
    ).fetchall()
    has_the_key = db.execute(
        "select howdah.enqueue('shop.pay', unique_key => 'pay:1', unique_while => 'waiting')"
    ).fetchall()
    assert (task, given, queue, priority, state) == (
        "shop.pay", {"n": 1}, "nights", -7, "scheduled",
    )  # fmt: skip
    assert (run_at, attempts, serial, has_the_key) == (due, 1, "account:1", [(job_id,)])
    assert headers["imported"] == {"from": "procrastinate", "id": 1, "attempts": 3}
    assert (report.jobs, report.found, report.left) == (1, 0, {})


@pytest.mark.parametrize("n", [500, pytest.param(5_000, marks=pytest.mark.slow)])
async def test_all_are_run_once_while_their_worker_still_runs(
    theirs, ours, here, ran, eventually, n
):
    await theirs.pay.batch_defer_async(*({"n": number} for number in range(n)))
    their_worker = asyncio.create_task(
        theirs.app.run_worker_async(
            concurrency=5, wait=True, install_signal_handlers=False, listen_notify=False
        )
    )
    await eventually(lambda: len(theirs.ran) > 20)

    report = await import_jobs(here, THERE, plan(ours))
    again = await import_jobs(here, THERE, plan(ours))
    async with ours.worker(slots=100):
        await eventually(lambda: len(theirs.ran) + len(ran) >= n, within=30)
    their_worker.cancel()
    await asyncio.gather(their_worker, return_exceptions=True)

    assert sorted(theirs.ran + ran) == list(range(n))
    assert report.jobs + again.jobs == len(ran) > n / 10


async def test_a_dry_run_moves_nothing_and_a_repeat_moves_nothing_twice(theirs, ours, here, db):
    await theirs.pay.batch_defer_async({"n": 1}, {"n": 2})

    would = await import_jobs(here, THERE, plan(ours), dry_run=True)
    before = (statuses(db), args(db))
    await import_jobs(here, THERE, plan(ours))
    again = await import_jobs(here, THERE, plan(ours))

    assert (would.jobs, before) == (2, ({"todo": 2}, []))
    assert (again.jobs, statuses(db), args(db)) == (0, {"cancelled": 2}, [1, 2])


async def test_where_one_cannot_come_none_does(theirs, ours, here, db):
    await theirs.pay.defer_async(n=1)
    await theirs.pay.defer_async(n="many")
    await theirs.app.configure_task("old.pay").defer_async(n=3)

    refused = await import_jobs(here, THERE, plan(ours))

    assert {(f.task, f.why, f.jobs) for f in refused.flaws.values()} == {
        ("old.pay", "nobody has declared a task old.pay", 1),
        ("shop.pay", "bad arguments for shop.pay: n: Expected `int`, got `str`", 1),
    }
    assert (statuses(db), args(db)) == ({"todo": 3}, [])


async def test_a_task_may_be_called_otherwise_here_and_another_be_left(theirs, ours, here, db):
    await theirs.app.configure_task("old.pay").defer_async(n=3)
    await theirs.app.configure_task("old.mail").defer_async(to="ada")
    await theirs.app.configure_task(
        "builtin:procrastinate.builtin_tasks.remove_old_jobs"
    ).defer_async(max_hours=1)

    report = await import_jobs(
        here, THERE, plan(ours, tasks={"old.pay": "shop.pay"}, leave=frozenset({"old.mail"}))
    )

    assert [(m.there, m.here, m.jobs) for m in report.moved.values()] == [
        ("old.pay", "shop.pay", 1)
    ]
    assert report.left == {
        "are its own housekeeping": 1,
        "are of tasks that are to be left": 1,
    }
    assert args(db) == [3]


async def test_jobs_of_a_lock_wait_for_the_one_that_runs_there(theirs, ours, here, db):
    for n in (1, 2):
        await theirs.pay.configure(lock="a").defer_async(n=n)
    await theirs.pay.configure(lock="b").defer_async(n=3)
    db.execute("update theirs.procrastinate_jobs set status = 'doing' where args->>'n' = '1'")

    first = await import_jobs(here, THERE, plan(ours))
    then = args(db)
    db.execute("select theirs.procrastinate_finish_job_v1(1, 'succeeded', false)")
    await import_jobs(here, THERE, plan(ours))

    assert then == [3]
    assert first.left == {
        "run there just now": 1,
        "wait for one that runs there, or were just being taken": 1,
    }
    assert args(db) == [2, 3]


async def test_a_job_whose_lock_is_just_being_taken_there_holds_up_those_behind_it(
    theirs, ours, here, dsn, db, eventually
):
    for n in (1, 2):
        await theirs.pay.configure(lock="a").defer_async(n=n)
    async with await psycopg.AsyncConnection.connect(
        dsn, options="-c search_path=theirs"
    ) as taking:
        await taking.execute("select procrastinate_fetch_job_v2(null, null)")
        importing = asyncio.create_task(import_jobs(here, THERE, plan(ours)))
        await eventually(lambda: importing.done() or _somebody_waits(db))
        await taking.commit()
        report = await importing

    assert report.jobs == 0
    assert statuses(db) == {"doing": 1, "todo": 1}


async def test_jobs_of_a_lock_go_over_together_in_the_order_they_had(
    theirs, ours, here, ran, eventually, monkeypatch
):
    monkeypatch.setattr(moving, "PER_TRANSACTION", 2)
    monkeypatch.setattr(moving, "PER_CALL", 3)
    for n in range(10):
        await theirs.pay.configure(lock="a", priority=n % 2).defer_async(n=n)
    counts: list[int] = []

    await import_jobs(here, THERE, plan(ours), progress=counts.append)
    async with ours.worker(slots=5):
        await eventually(lambda: len(ran) == 10)

    assert counts == [10]
    assert ran == [1, 3, 5, 7, 9, 0, 2, 4, 6, 8]


async def test_what_is_cut_off_in_the_middle_goes_on_when_repeated(
    theirs, ours, here, db, monkeypatch
):
    monkeypatch.setattr(moving, "PER_TRANSACTION", 10)
    await theirs.pay.batch_defer_async(*({"n": n} for n in range(35)))

    def cut(jobs: int) -> None:
        if jobs == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await import_jobs(here, THERE, plan(ours), progress=cut)
    then = statuses(db)
    await import_jobs(here, THERE, plan(ours))

    assert then == {"cancelled": 20, "todo": 15}
    assert args(db) == list(range(35))


async def test_a_commit_that_fails_leaves_all_as_it_was(theirs, ours, here, db):
    await theirs.pay.defer_async(n=1)
    _refuse_commits(db)

    with pytest.raises(asyncpg.RaiseError):
        await import_jobs(here, THERE, plan(ours))

    assert (statuses(db), args(db)) == ({"todo": 1}, [])


async def test_from_another_database_a_crash_between_the_commits_makes_no_second_job(
    theirs, ours, here, db, own_dsn
):
    await theirs.pay.batch_defer_async(*({"n": n} for n in range(3)))
    _refuse_commits(db)
    target = await asyncpg.connect(own_dsn)

    with pytest.raises(asyncpg.RaiseError):
        await import_jobs(target, THERE, plan(ours), there=here)
    db.execute("drop trigger refuse on theirs.procrastinate_jobs")
    then = await target.fetchval("select count(*) from howdah.jobs")
    again = await import_jobs(target, THERE, plan(ours), there=here)
    after = await target.fetchval("select count(*) from howdah.jobs")
    await target.close()

    assert (then, after) == (3, 3)
    assert (again.jobs, again.found, statuses(db)) == (3, 3, {"cancelled": 3})


async def test_a_job_that_cannot_be_taken_there_is_not_enqueued_here(theirs, ours, here, db):
    await theirs.pay.batch_defer_async({"n": 1}, {"n": 2})
    db.execute(
        "create function theirs.keep() returns trigger language plpgsql as "
        "$$ begin return null; end $$;"
        "create trigger keep before update on theirs.procrastinate_jobs "
        "for each row when (old.id = 2) execute function theirs.keep()"
    )

    with pytest.raises(Conflict, match="1 jobs"):
        await import_jobs(here, THERE, plan(ours))

    assert (statuses(db), args(db)) == ({"todo": 2}, [])


async def test_two_imports_at_once_are_one_too_many(theirs, ours, here, dsn):
    await theirs.pay.defer_async(n=1)
    other = await asyncpg.connect(dsn)
    async with other.transaction():
        await other.execute(
            "select pg_advisory_xact_lock(hashtext('howdah import'), hashtext($1))", THERE.table
        )
        with pytest.raises(Conflict, match="somebody else"):
            await import_jobs(here, THERE, plan(ours))
    await other.close()


async def test_where_it_is_not_that_is_said(here, ours):
    with pytest.raises(NotFound, match="no table"):
        await import_jobs(here, procrastinate("nowhere"), plan(ours))


def _somebody_waits(db: psycopg.Connection) -> bool:
    waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'with ours'"
    return db.execute(waiting).fetchone() is not None


def _refuse_commits(db: psycopg.Connection) -> None:
    """From now on whoever takes a job there fails when it commits."""
    db.execute(
        "create function theirs.refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'no'; end $$;"
        "create constraint trigger refuse after update on theirs.procrastinate_jobs "
        "deferrable initially deferred for each row execute function theirs.refuse()"
    )
