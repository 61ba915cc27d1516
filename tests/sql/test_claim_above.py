"""howdah.claim_above: what has come above a floor, or nothing where that is not so simple."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import Rollback

PLAIN = "id queue task args priority attempt base_attempt max_attempts timeout_ms delivery"
ALL_BUT_THE_LEASE = f"{PLAIN} leased_until headers tags suspect hooks serial_key cursor".split()


@pytest.fixture
def worker(door):
    """One that is marked as idle."""
    worker = door.worker()
    assert door.claim(1, worker=worker, idle=True) == []
    return worker


@pytest.fixture
def above(door, worker):
    """Claims for that worker."""

    def above(n=10, floor=0, **options):
        given = {"queue": "default", "priority": 0, "worker": worker, "tasks": ["work"], **options}
        return door.call("claim_above", seq=floor, n=n, **given)

    return above


def test_it_gives_what_a_claim_gives(door, worker, above):
    job_id = door.enqueue(
        args={"n": 1}, headers={"h": 1}, tags=["x"], max_attempts=7, timeout="5 s", serial_key="k"
    )
    door.rows("select howdah.set_cursor('k', '{\"at\": 3}'), howdah.admit(1)")

    with door.transaction():
        [expected] = door.claim(1, worker=worker)
        raise Rollback
    [job] = above()

    assert job.id == job_id
    assert job.cursor == {"at": 3}
    for field in ALL_BUT_THE_LEASE:
        assert getattr(job, field) == getattr(expected, field), field
    assert door.state(job_id) == "running"
    assert door.one("select worker from _howdah.lease where lease = %s", job.lease) == worker


def test_what_it_leased_can_be_finished(door, above):
    jobs = [door.enqueue() for _ in range(3)]

    leased = above()

    assert len({job.lease for job in leased}) == 1
    assert door.finish(leased) == {}
    assert [door.state(job_id) for job_id in jobs] == ["succeeded"] * 3


def test_it_takes_the_first_n_above_the_floor_in_their_order(door, above):
    jobs = [door.enqueue() for _ in range(5)]
    floor = door.one("select seq from _howdah.job where id = %s", jobs[0])

    assert [job.id for job in above(2, floor)] == jobs[1:3]
    assert [job.id for job in above(9, floor)] == jobs[3:]
    assert above(9, floor) == []
    assert door.state(jobs[0]) == "ready"


def test_it_takes_what_its_worker_can_do_of_that_queue_and_priority(door, above):
    door.enqueue("other")
    door.enqueue(queue="other")
    door.enqueue(priority=-1)
    mine = door.enqueue()

    assert [job.id for job in above(others=False)] == [mine]


def test_what_serves_one_queue_alone_does_not_look_at_others(door, above):
    door.enqueue(queue="another", priority=1)
    door.enqueue(queue="z", priority=1)
    mine = door.enqueue()

    assert above() == []
    assert [job.id for job in above(others=False)] == [mine]


def test_a_job_that_it_leased_no_longer_collapses_with_later_ones(door, above):
    waits = {"serial_key": "k", "collapse": "waiting"}
    running = door.enqueue(**waits)
    door.rows("select howdah.admit(1)")

    assert [job.id for job in above()] == [running]

    assert door.enqueue(**waits) != running


def greater_priority(door):
    door.enqueue(priority=1)


def a_queue_before_it(door):
    door.enqueue(queue="a")


def a_queue_behind_it(door):
    door.enqueue(queue="z")


def released_to_the_front(door):
    door.enqueue("released")
    door.release(door.take(tasks=["released"]))


def paused(door):
    door.rows("select howdah.pause('default')")


def any_limit(door):
    door.rows("select howdah.put_limit('another', 1)")


def swept(door):
    door.rows("delete from _howdah.idle")
    door.rows("delete from _howdah.worker")


def commits_do_not_wait(door):
    door.rows("set synchronous_commit = off")


def suspect(door):
    door.rows("update _howdah.job set suspect = true")
    door.enqueue()


def a_range_of_versions(door):
    door.rows("update _howdah.job set task = 'work@>=2'")
    door.enqueue()


@pytest.mark.parametrize(
    "matter",
    [
        greater_priority,
        released_to_the_front,
        paused,
        any_limit,
        a_queue_before_it,
        a_queue_behind_it,
        swept,
        commits_do_not_wait,
        suspect,
        a_range_of_versions,
    ],
)
def test_it_leaves_to_a_claim_what_is_not_so_simple(door, above, matter):
    job_id = door.enqueue()
    matter(door)

    assert above() == []

    assert door.state(job_id) == "ready"
    assert door.one("select count(*) from _howdah.lease") == 0


def nothing(door):
    door.rows("delete from _howdah.job")


@pytest.mark.parametrize(
    "matter",
    [
        nothing,
        greater_priority,
        released_to_the_front,
        paused,
        any_limit,
        a_queue_before_it,
        suspect,
        a_range_of_versions,
    ],
)
def test_when_it_leases_nothing_it_locks_nobody_and_takes_no_transaction_id(
    door, another_door, worker, above, matter
):
    """Its worker's row is held, as by one who sweeps it: it does not wait for that."""
    door.enqueue()
    matter(door)
    sweeper = another_door()

    with sweeper.transaction():
        sweeper.rows("select from _howdah.worker where id = %s for update", worker)
        with door.transaction():
            door.rows("set local lock_timeout = '5s'")
            found = above()
            own = door.one("select pg_current_xact_id_if_assigned()")

    assert (found, own) == ([], None)


def test_when_another_has_locked_all_there_is_it_takes_no_transaction_id(door, another_door, above):
    job_id = door.enqueue()
    other = another_door()

    with other.transaction(), door.transaction():
        other.rows("select from _howdah.job where id = %s for update", job_id)
        found = above()
        own = door.one("select pg_current_xact_id_if_assigned()")

    assert (found, own) == ([], None)


def test_a_suspect_behind_what_is_locked_is_not_taken(door, another_door, above):
    first, second = door.enqueue(), door.enqueue()
    door.rows("update _howdah.job set suspect = true where id = %s", second)
    other = another_door()

    with other.transaction():
        other.rows("select from _howdah.job where id = %s for update", first)
        found = above(1)

    assert found == []


def test_a_worker_that_is_being_swept_leases_nothing(door, another_door, worker, waits_for_lock):
    job_id = door.enqueue()
    claimer, sweeper = another_door(), another_door()
    above = {"queue": "default", "priority": 0, "seq": 0, "n": 1, "worker": worker}

    with ThreadPoolExecutor() as pool:
        with sweeper.transaction():
            sweeper.rows("delete from _howdah.worker where id = %s", worker)
            claiming = pool.submit(claimer.call, "claim_above", tasks=["work"], **above)
            waits_for_lock(claimer)
        found = claiming.result(10)

    assert (found, door.state(job_id)) == ([], "ready")


def test_a_limit_that_is_put_meanwhile_is_seen(door, another_door, worker, waits_for_lock):
    """By its number, which is drawn before it is committed."""
    door.enqueue()
    claimer, holder = another_door(), another_door()
    above = {"queue": "default", "priority": 0, "seq": 0, "n": 1, "worker": worker}

    with ThreadPoolExecutor() as pool:
        with holder.transaction():
            holder.rows("lock table _howdah.queue in access exclusive mode")
            claiming = pool.submit(claimer.call, "claim_above", tasks=["work"], **above)
            waits_for_lock(claimer)
            holder.rows("select nextval('_howdah.has_limits')")
        found = claiming.result(10)

    assert found == []


def test_who_watches_is_told(door, another_door, above):
    job_id = door.enqueue()
    listener = another_door()
    channel = listener.one("select howdah.watch('default')")
    listener.rows(f'listen "{channel}"')

    above()

    told = [note.payload for note in listener.connection.notifies(timeout=0.2)]
    assert told == [f"running {job_id}"]


def test_it_passes_over_what_another_has_locked(door, another_door, above):
    first, second = door.enqueue(), door.enqueue()
    other = another_door()

    with other.transaction():
        [taken] = other.claim(1, worker=door.worker("other"))
        rest = above()

    assert (taken.id, [job.id for job in rest]) == (first, [second])


def test_a_worker_that_found_something_is_not_idle(door, above):
    above()
    before = door.one("select idle from howdah.workers")
    door.enqueue()
    above()

    assert (before, door.one("select idle from howdah.workers")) == (True, False)


def test_when_it_is_full_it_wakes_one_more(door, another_door, above):
    other, listener = door.worker("other"), another_door()
    listener.rows(f'listen "{door.value("channel")}"')
    for _ in range(3):
        door.enqueue(wake=False)
    door.claim(1, worker=other, queues=["none"], idle=True)
    door.rows("update _howdah.idle set queues = '{*}' where worker = %s", other)

    def told():
        return [note.payload for note in listener.connection.notifies(timeout=0.1)]

    not_full = (len(above(2)), told())
    full = (len(above(2)), told())

    assert not_full == (2, [f"w{str(other)[:8]}"])
    assert full == (1, [])


@pytest.mark.parametrize("n", [None, 0, -1, 10_001])
def test_a_bad_number_is_refused(door, above, refused, n):
    job_id = door.enqueue()

    with refused("JQ001", "jobs"):
        above(n)

    assert door.state(job_id) == "ready"


@pytest.mark.parametrize("missing", ["queue", "priority", "floor", "worker"])
def test_without_one_of_the_others_there_is_nothing(door, above, missing):
    door.enqueue()

    assert above(**{missing: None}) == []


@pytest.mark.parametrize("tasks", [None, [], [None], ["work", None]])
@pytest.mark.parametrize("task", ["other", "other@>=2"])
def test_without_a_name_no_task_is_meant(door, above, task, tasks):
    door.enqueue()
    door.rows("update _howdah.job set task = %s", task)

    assert above(tasks=tasks) == []


def test_not_to_say_whether_there_are_other_queues_is_to_say_that_there_are(door, above):
    door.enqueue(queue="a")
    door.enqueue()

    assert above(others=None) == []
