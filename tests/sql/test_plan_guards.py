"""What the hot functions touch depends on neither statistics nor settings: no plan runs away.

Each situation is a table that statistics mislead about, or settings that mislead the planner. In
each, every piece of work is done in a transaction of its own, which is rolled back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from touching import VACUUM, Touched, touched

COUNT = 10_000
FILL = """
insert into _howdah.job (seq, created_at, run_at, priority, id, state, queue, task, args)
select nextval('_howdah.seq'), now(),
       case when {scheduled} then now() + '1 h' + n * interval '1 s' end, n %% 3, _howdah.new_id(),
       case when {scheduled} then 's' else 'r' end::"char",
       'q' || n %% 4, 't' || n %% 5, '{{}}'
from generate_series(1, %s) n
"""
BLOCKED = """
insert into _howdah.job (seq, created_at, priority, id, state, queue, task, args, serial_key, hooks)
select
    nextval('_howdah.seq'), now(), 0, _howdah.new_id(), 'b', 'q' || n %% 4, 't', '{}', 'blocked', 1
from generate_series(1, %s / 5) n
"""
DEPENDENT = """
insert into _howdah.job (seq, created_at, priority, id, state, queue, task, args)
select nextval('_howdah.seq'), now(), 0, _howdah.new_id(), 'w', 'q' || n %% 4, 't', '{}'
from generate_series(1, %s / 5) n
"""
MIXED, SCHEDULED, READY = "n % 5 = 0", "true", "false"
ANALYZE = "analyze _howdah.job, _howdah.lease, _howdah.finished"
TEN_MILLION = """
update pg_class c set reltuples = c.reltuples * 1000, relpages = greatest(c.relpages, 1)
where c.oid = '_howdah.job'::regclass or c.oid in (
    select indexrelid from pg_index where indrelid = '_howdah.job'::regclass)
"""
NOTHING_LIVED = """
update pg_class c set reltuples = 0
where c.oid = '_howdah.job'::regclass or c.oid in (
    select indexrelid from pg_index where indrelid = '_howdah.job'::regclass)
"""
SETTINGS = """
set plan_cache_mode = force_generic_plan; set jit = on; set jit_above_cost = 0;
set work_mem = '64kB'; set random_page_cost = 8
"""
FLOORS = '{"floors": [["q1", 0, 5], ["q1", 2, 5], ["q2", 1, 5]]}'


def fill(door, scheduled=MIXED, count=COUNT):
    door.rows(FILL.format(scheduled=scheduled.replace("%", "%%")), count)
    door.rows(BLOCKED, count)
    door.rows(DEPENDENT, count)


def analyzed_as_it_is(door):
    fill(door)
    door.rows(ANALYZE)


def analyzed_while_empty(door):
    door.rows(ANALYZE)
    fill(door)


def analyzed_while_all_was_scheduled(door):
    fill(door, SCHEDULED)
    door.rows(ANALYZE)
    door.rows("update _howdah.job set state = 'r', run_at = null where priority > 0")
    door.rows(VACUUM)


def analyzed_while_all_was_ready(door):
    fill(door, READY)
    door.rows(ANALYZE)
    door.rows(
        "update _howdah.job set state = 's', run_at = now() + interval '1 h' where priority = 0"
    )
    door.rows(VACUUM)


def planned_while_small(door):
    """The plans of a connection that has been open since the first jobs came."""
    door.rows("set plan_cache_mode = force_generic_plan")
    fill(door, count=60)
    door.rows(ANALYZE)
    beyond(door)
    fill(door)


def ten_million_by_the_statistics(door):
    analyzed_as_it_is(door)
    door.rows(TEN_MILLION)


def vacuumed_while_nothing_lived(door):
    """What a vacuum notes that finds no live row in a table which it cannot shorten."""
    analyzed_as_it_is(door)
    door.rows(NOTHING_LIVED)


def with_settings_that_mislead(door):
    analyzed_as_it_is(door)
    door.connection.execute(SETTINGS)


SITUATIONS = [
    fill,
    analyzed_as_it_is,
    analyzed_while_empty,
    analyzed_while_all_was_scheduled,
    analyzed_while_all_was_ready,
    planned_while_small,
    ten_million_by_the_statistics,
    vacuumed_while_nothing_lived,
    with_settings_that_mislead,
]


@dataclass(frozen=True)
class Work:
    """Something that is done to so many jobs: `act` gets what `prepare` gave."""

    act: Callable[[Any, Any], object]
    prepare: Callable[[Any], Any] = lambda door: None
    jobs: int = 1

    @property
    def limit(self) -> Touched:
        """What it may touch, be there ten thousand jobs or ten million."""
        return Touched(scans=0, rows=80 + 20 * self.jobs, blocks=250 + 40 * self.jobs)


def held(n):
    """So many jobs, claimed."""
    return lambda door: door.claim(n)


def dead(door):
    worker = door.worker()
    door.claim(20, worker=worker)
    return worker


def lost(door):
    door.claim(20, worker=door.worker())
    door.rows("update _howdah.worker set beat_at = beat_at - interval '1 hour'")
    door.rows("update _howdah.pulse set beat_at = _howdah.clock()")


def ran_out(door):
    jobs = door.claim(20)
    door.rows(
        "update _howdah.job set leased_until = now() - interval '1 min' where id = any (%s)",
        [job.id for job in jobs],
    )


def due(since):
    """All that is scheduled, due for so long."""

    def prepare(door):
        door.rows(f"update _howdah.job set run_at = run_at - interval '{since}' where state = 's'")
        door.rows("update _howdah.pulse set due_from = '-infinity'")

    return prepare


def waiting(**keys):
    """Twenty jobs of ten keys, of which one each may run."""

    def prepare(door):
        door.rows("select howdah.put_limit('l*', 1)")
        for n in range(20):
            given = {name: key.format(n % 10) for name, key in keys.items()}
            limits = {"limit_keys": [given.pop("limit_key")]} if "limit_key" in given else {}
            door.enqueue("s", queue="keyed", **given, **limits)

    return prepare


def running(**keys):
    """The ten of those that may."""

    def prepare(door):
        waiting(**keys)(door)
        admit(door, None)
        return door.claim(20, queues=["keyed"])

    return prepare


def parents(door):
    """Five that run, for each of which two others wait."""
    for _ in range(5):
        parent = door.enqueue("s", queue="keyed")
        for _ in range(2):
            door.enqueue("s", queue="keyed", after=[parent])
    return door.claim(20, queues=["keyed"])


def admit(door, _):
    return door.one("select howdah.admit()")


def finish_and_admit(door, jobs):
    door.finish(jobs)
    return admit(door, None)


def one_of(state):
    def prepare(door):
        return door.one(f"select id from _howdah.job where state = '{state}' limit 1") or uuid4()

    return prepare


def claim(**options):
    return Work(lambda door, _: door.claim(10, **options), jobs=10)


def finish(outcome):
    return Work(
        lambda door, jobs: door.finish(jobs, outcomes=[outcome] * len(jobs)), held(20), jobs=20
    )


def behind(door, _):
    """What a claim with floors asks at its end: such a claim cannot be rolled back as a whole."""
    return door.rows(
        "select _howdah.left_behind(9223372036854775807, '{q1,q2}', _howdah.floors_of(%s), "
        "_howdah.heads(_howdah.floors_of(%s), '{q1,q2}', 10), '{t1}', '{x%%}')",
        FLOORS,
        FLOORS,
    )


def behind_one(door, _):
    one = '{"floors": [["q1", 1, 5]]}'
    heads = door.one("select _howdah.heads(_howdah.floors_of(%s), '{q1}', 10)::text", one)
    return door.rows(
        "select _howdah.left_behind(9223372036854775807, '{q1}', _howdah.floors_of(%s),"
        " (%s::_howdah.head[])[1:1], '{t1}', '{x%%}')",
        one,
        heads,
    )


WORK = {
    # first, and last: what is rolled back leaves dead entries, which others would meet
    "next_due": Work(lambda door, _: door.one("select _howdah.next_due()")),
    "queues beside a known one, of which none comes before it": Work(
        lambda door, _: door.one("select _howdah.sources('{*}', null, '{q}')")
    ),
    "heads of the one that is known, and what is left behind": Work(behind_one, jobs=3),
    "claim": claim(),
    "claim of a queue": claim(queues=["q1"]),
    "claim above a floor": Work(
        lambda door, worker: door.call(
            "claim_above",
            queue="q1",
            priority=2,
            seq=5,
            n=10,
            worker=worker,
            tasks=["t1", "t2"],
            others=False,
        ),
        lambda door: door.worker(),
        jobs=10,
    ),
    "claim above a floor, of nothing": Work(
        lambda door, worker: door.call(
            "claim_above", queue="q1", priority=2, seq=2**60, n=10, worker=worker, tasks=["t1"]
        ),
        lambda door: door.worker(),
    ),
    "claim of patterns": claim(queues=["q*"], tasks=["t1", "x*"]),
    "claim of nothing": Work(lambda door, _: door.claim(10, queues=["none"])),
    "heads, and what is left behind": Work(behind, jobs=6),
    "heartbeat": Work(lambda door, _: door.worker()),
    **{f"finish: {o}": finish(o) for o in ("succeeded", "retry", "released", "failed", "crashed")},
    "rescue": Work(lambda door, _: door.chores("rescue"), lost, jobs=20),
    "rescue of one that died": Work(
        lambda door, worker: door.call("rescue", worker=worker, running=[]), dead, jobs=20
    ),
    "expire": Work(lambda door, _: door.chores("expire"), ran_out, jobs=20),
    "cancel": Work(lambda door, job: door.value("cancel", id=job), one_of("r")),
    "delete": Work(lambda door, job: door.value("delete", id=job), one_of("s")),
    "run_now": Work(lambda door, job: door.value("run_now", id=job), one_of("s")),
    "outcome": Work(lambda door, job: door.call("outcome", id=job), one_of("r")),
    "enqueue": Work(lambda door, _: door.enqueue()),
    "enqueue of a batch": Work(
        lambda door, _: door.value(
            "enqueue_batch", task="t", ids=[uuid4() for _ in range(100)], args=["{}"] * 100
        ),
        jobs=100,
    ),
    "enqueue with a serial key": Work(lambda door, _: door.enqueue(serial_key="new")),
    "enqueue with a limit": Work(lambda door, _: door.enqueue(limit_keys=["new"])),
    "admit to serial keys": Work(admit, waiting(serial_key="k{}"), jobs=20),
    "admit to limits": Work(admit, waiting(limit_key="l{}"), jobs=20),
    "finish, and admit to serial keys": Work(finish_and_admit, running(serial_key="k{}"), jobs=20),
    "finish of parents": Work(finish_and_admit, parents, jobs=15),
    "finish, and admit to limits": Work(finish_and_admit, running(limit_key="l{}"), jobs=20),
    "list": Work(lambda door, _: door.call("list_jobs", n=20), jobs=20),
    "list of what runs": Work(
        lambda door, _: door.call("list_jobs", state="running"), held(20), jobs=20
    ),
    "view of what runs": Work(
        lambda door, _: door.rows("select * from howdah.running"), held(20), jobs=20
    ),
    "backlog": Work(lambda door, _: door.value("backlog", queue="q1", cap=20), jobs=20),
    "next_due, of many": Work(lambda door, _: door.one("select _howdah.next_due()"), due("1 year")),
    "stage": Work(lambda door, _: door.one("select _howdah.stage(20)"), due("2 years"), jobs=20),
}


@pytest.fixture(params=SITUATIONS, ids=lambda situation: situation.__name__)
def misled(request, door, another_door):
    """A door in a situation; its plans are its own."""
    door.rows(VACUUM)
    door.rows("vacuum (index_cleanup on) _howdah.lease, _howdah.worker, _howdah.idle")
    fresh = another_door()
    request.param(fresh)
    return fresh


def beyond(door):
    """The work that touches more than it may, and what."""
    found = {}
    for name, work in WORK.items():
        with door.connection.transaction(force_rollback=True):
            given = work.prepare(door)
            did = touched(door, lambda w=work, g=given: w.act(door, g))
        if any(count > most for count, most in zip(did, work.limit, strict=True)):
            found[name] = did
    return found


def test_no_call_touches_more_than_its_jobs(misled):
    assert beyond(misled) == {}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_call_touches_more_than_its_jobs_of_ten_million(own_door):
    fill(own_door, count=10_000_000)
    never = beyond(own_door)

    own_door.rows(VACUUM)
    own_door.rows(ANALYZE)

    assert never == {}
    assert beyond(own_door) == {}


def test_a_look_at_a_workflow_reads_only_its_own(door):
    door.rows('select howdah.put_pipeline(\'p\', \'1\', 0, \'[{"name": "s", "task": "s"}]\')')
    workflow = door.one("select howdah.start_request(array['p', 'p'])")
    door.rows(
        "insert into _howdah.member (job_id, step, place)"
        " select gen_random_uuid(), gen_random_uuid(), 0 from generate_series(1, %s)",
        COUNT,
    )
    door.rows(
        "insert into _howdah.tally (workflow, step, state, n)"
        " select gen_random_uuid(), gen_random_uuid(), 'S', 1 from generate_series(1, %s)",
        COUNT,
    )

    def show():
        door.rows("select * from howdah.workflows where id = %s", workflow)
        assert len(door.rows("select * from howdah.steps where workflow = %s", workflow)) == 2

    for table in ("_howdah.tally", "_howdah.member"):
        did = touched(door, show, table)
        assert did.scans == 0
        assert did.rows <= 10
        assert did.blocks <= 20


ENDED = """
insert into _howdah.finished
    (created_at, finished_at, priority, attempt, crashes, id, state, queue, task, args)
select now(), now(), 0, 1, 0, _howdah.new_id(), %s, %s, 't', '{}' from generate_series(1, %s)
"""


def test_queues_find_failed_jobs_without_a_scan_of_those_that_were_cancelled(door):
    door.rows(ENDED, "F", "q", 3)
    door.rows(ENDED, "C", "q", COUNT)
    today = "(now() at time zone 'UTC')::date"
    day = door.one(f"select _howdah.day_partition('_howdah.finished_failed', {today})")
    door.rows(f"analyze {day}")

    def look():
        assert door.one("select failed from howdah.queues where queue = 'q'") == 3

    assert touched(door, look, day).scans == 0


def test_queues_look_at_the_newest_of_history_and_no_further(door):
    door.rows(ENDED, "F", "old", 5)
    door.rows("select pg_sleep(0.002)")  # ids of one millisecond are in no order
    door.rows(ENDED, "C", "new", 20)
    door.rows(ENDED, "F", "new", 5)

    def counted(seen, cap):
        rows = door.rows("select queue, n from _howdah.count_failed(%s, %s)", seen, cap)
        return {row.queue: row.n for row in rows}

    assert counted(100, 100) == {"old": 5, "new": 5}
    assert counted(25, 100) == {"new": 5}
    assert counted(27, 100) == {"old": 2, "new": 5}
    assert counted(100, 6) == {"old": 1, "new": 5}


STRANGERS = """
insert into _howdah.edge (parent, child, place, policy, state, armed, kept_since)
select gen_random_uuid(), gen_random_uuid(), 1, 'f', case when n %% 2 = 0 then 'F'::"char" end,
       false, case when n %% 2 = 0 then now() end
from generate_series(1, {n}) n;
insert into _howdah.gone (id, state, ended_at)
select gen_random_uuid(), 'C', now() from generate_series(1, {n})
"""


def test_a_retry_reads_only_what_its_job_waits_for(door):
    """Also where statistics were taken while nothing waited."""
    tables = ("edge", "gone", "job")
    door.rows("analyze " + ", ".join(f"_howdah.{table}" for table in tables))
    for statement in STRANGERS.split(";"):
        door.rows(statement.format(n=COUNT))
    fill(door)
    a = door.enqueue("a", queue="own")
    b = door.enqueue("b", queue="own", after=[a])
    steps = '[{"name": "x", "task": "x"}, {"name": "y", "task": "y", "after": ["x"]}]'
    workflow = door.one("select howdah.start_workflow('w', %s)", steps)
    y = door.one(
        "select m.job_id from _howdah.step s join _howdah.member m on m.step = s.id"
        " where s.workflow = %s and s.name = 'y'",
        workflow,
    )

    def come_back():
        for job in (b, y):
            door.value("cancel", id=job)
        assert door.value("retry", id=b)
        assert door.value("retry", id=y)
        door.chores("admit")
        assert [door.state(job) for job in (b, y)] == ["blocked", "blocked"]

    come_back()
    for table in tables:
        did = touched(door, come_back, f"_howdah.{table}")
        assert did.scans == 0, table
        assert did.rows <= 100, table  # with the dead ones of the times before; never all of them


FORBIDDEN = {  # some of it nothing above lures them into, today
    "claim": "seqscan bitmapscan sort",
    "heads": "seqscan bitmapscan",
    "left_behind": "seqscan bitmapscan sort",
    "ready_queues": "seqscan bitmapscan sort",
    "sources": "seqscan bitmapscan sort",
    "keep_mark": "seqscan bitmapscan",
    "stage": "seqscan bitmapscan sort",
    "first_due": "seqscan bitmapscan sort",
    "settle": "seqscan hashjoin mergejoin",
    "make_ready": "seqscan hashjoin mergejoin",
    "finish": "seqscan",
    "turns_of": "seqscan bitmapscan hashjoin mergejoin sort",
    "end_lease": "seqscan",
    "expire": "seqscan",
    "count_ready": "seqscan bitmapscan",
    "count_failed": "seqscan bitmapscan sort",
}
WITHOUT_JIT = {  # what has to walk a sequence or a small table all the same costs 10,000,000,000
    *("claim", "heads", "left_behind", "sources", "keep_mark"),
    *("stage", "settle", "make_ready", "finish"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_hot_function_forbids_what_would_look_at_all_jobs(door, name):
    wanted = {f"enable_{kind}=off" for kind in FORBIDDEN[name].split()}
    wanted |= {"jit=off"} if name in WITHOUT_JIT else set()

    found = door.one(
        "select proconfig from pg_proc where proname = %s and proconfig @> array[%s]"
        " order by pronamespace::regnamespace::text = '_howdah' desc, cardinality(proconfig) desc"
        " limit 1",
        name,
        min(wanted),
    )

    assert wanted <= {*(found or ())}


@pytest.mark.parametrize("name", ["claim", "finish", "heads", "settle", "sources", "wake"])
def test_what_is_called_for_each_job_is_not_planned_anew_each_time(door, name):
    """An array among the parameters, or one row where a thousand were thought, and it would be."""
    settings = door.rows("select proconfig from pg_proc where proname = %s", name)

    assert any("plan_cache_mode=force_generic_plan" in (of_it or ()) for (of_it,) in settings)
