"""Claims that begin above the dead rows miss no job, whatever others commit late or take back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest
from claimer import Claimer

from howdah.sql import functions


@pytest.fixture
def claimer(another_door):
    return Claimer(another_door())


@pytest.fixture
def begun(another_door):
    """Another session, in a transaction that it ends when it is told to."""

    def begun():
        door = another_door()
        door.rows("begin")
        return door

    return begun


def last_seq(door):
    return door.one("select last_value from _howdah.seq")


# Others enqueue


def test_a_job_committed_late_is_found_below_the_floor(door, claimer, begun):
    late = begun()
    first = late.enqueue()
    others = [door.enqueue() for _ in range(3)]

    assert claimer.ids() == others
    assert claimer.floor == last_seq(door)
    late.rows("commit")

    assert claimer.ids() == [first]


def test_so_it_is_when_its_transaction_is_the_youngest_and_has_not_ended(door, claimer, begun):
    """Its id is beyond the snapshot's xmax, and below the claim's own."""
    [door.enqueue() for _ in range(3)]
    late = begun()
    first = late.enqueue()

    claimer.claim()
    late.rows("commit")

    assert claimer.ids() == [first]


def test_a_transaction_held_open_through_many_claims_leaves_nothing_behind(door, claimer, begun):
    late = begun()
    mine = [late.enqueue()]
    for _ in range(5):
        other = door.enqueue()
        assert claimer.ids() == [other]
        mine.append(late.enqueue())
    assert claimer.rises(door)

    late.rows("commit")

    assert {*claimer.ids(), *claimer.ids()} == {*mine}


def test_of_an_enqueue_that_was_rolled_back_nothing_is_waited_for(door, claimer, begun):
    late = begun()
    late.enqueue()
    other = door.enqueue()

    assert claimer.ids() == [other]
    late.rows("rollback")
    assert claimer.ids() == []
    after = door.enqueue()

    assert claimer.ids() == [after]
    assert claimer.rises(door)


def test_savepoints_hide_nothing(door, claimer, begun):
    late = begun()
    late.rows("savepoint one")
    late.enqueue()
    late.rows("rollback to one")
    late.rows("savepoint two")
    kept = late.enqueue()
    late.rows("release two")
    other = door.enqueue()

    assert claimer.ids() == [other]
    late.rows("commit")

    assert claimer.ids() == [kept]


def test_a_prepared_transaction_may_commit_much_later(door, claimer, another_door):
    session, name = another_door(), uuid4().hex
    session.rows("begin")
    first = session.enqueue(wake=False)
    session.rows(f"prepare transaction '{name}'")
    other = door.enqueue()

    assert claimer.ids() == [other]
    door.rows(f"commit prepared '{name}'")

    assert claimer.ids() == [first]


def test_a_claim_that_finds_nothing_still_notices_who_has_ended(door, claimer, begun):
    late = begun()
    first = late.enqueue()
    claimer_had = door.enqueue()
    assert claimer.ids() == [claimer_had]
    assert claimer.ids() == []

    late.rows("commit")

    assert claimer.ids() == [first]


def test_a_seq_drawn_while_a_claim_is_under_way_is_above_its_floor(
    door, claimer, begun, waits_for_lock
):
    """By a transaction that is younger than the claim, and so unknown to it."""
    first, holder, late = door.enqueue(), begun(), begun()
    holder.rows("lock table _howdah.worker in exclusive mode")  # without a transaction id

    with ThreadPoolExecutor() as aside:
        claimed = aside.submit(claimer.ids)
        waits_for_lock(claimer.door)
        second = late.enqueue()
        holder.rows("commit")
        assert claimed.result() == [first]
    late.rows("commit")

    assert claimer.ids() == [second]


def test_whoever_draws_a_seq_has_its_transaction_id_before():
    drawing = [text for text in functions() if "nextval('_howdah.seq')" in text]

    assert len(drawing) >= 5
    for text in drawing:
        assert -1 < text.find("pg_current_xact_id()") < text.find("nextval('_howdah.seq')")


# Others claim


def test_a_claim_that_is_rolled_back_gives_its_jobs_to_the_next(door, claimer, begun):
    ids = [door.enqueue() for _ in range(4)]
    other = begun()
    taken = [job.id for job in other.claim(2)]

    assert claimer.ids() == ids[2:]
    assert claimer.floor < last_seq(door) - 3
    other.rows("rollback")

    assert claimer.ids() == taken == ids[:2]


def test_a_claim_that_is_committed_holds_no_floor_afterwards(door, claimer, begun):
    [door.enqueue() for _ in range(4)]
    other = begun()
    other.claim(2)
    claimer.claim()

    other.rows("commit")
    after = door.enqueue()

    assert claimer.ids() == [after]
    assert claimer.rises(door)


def test_who_finds_nothing_for_long_since_others_take_it_all_is_still_not_left_behind(
    door, claimer
):
    claimer.ids(1)
    door.enqueue()
    claimer.claim()
    door.value("enqueue_batch", task="t", ids=[uuid4() for _ in range(5000)], args=["{}"] * 5000)
    door.claim(5000)

    assert claimer.claim(look=False) == []
    assert claimer.own is not None  # or it would walk over them each time
    assert claimer.news.floors == [("default", 0, None)]


def test_a_claim_that_finds_nothing_takes_no_transaction_id(door, claimer):
    door.enqueue()

    assert len(claimer.claim()) == 1
    assert claimer.own is not None
    claimer.floors.above["default", 0] = last_seq(door)
    claimer.floors.open.clear()
    assert claimer.claim() == []
    assert claimer.own is None


# Jobs that come back, and what a claim leaves behind


def test_jobs_that_come_back_are_found(door, claimer, clock):
    [door.enqueue() for _ in range(6)]
    released, failed, lost, expired, staged, retried = claimer.claim()
    door.release(released)
    door.nack(failed, retry_in="0 s")
    door.call("finish", ids=[lost.id], leases=[lost.lease], outcomes=["crashed"])
    door.nack(staged, retry_in="1 min")
    clock.forward("2 min")
    door.chores("stage")
    door.nack(retried, retry=False)
    door.value("retry", id=retried.id)

    back = set(claimer.ids())

    assert back == {released.id, failed.id, lost.id, staged.id, retried.id}
    assert expired.id not in back


def test_the_rest_of_a_backlog_is_claimed_in_order(door, claimer):
    ids = [door.enqueue() for _ in range(10)]

    assert [claimer.ids(4) for _ in range(4)] == [ids[:4], ids[4:8], ids[8:], []]


def test_suspects_that_are_not_wanted_yet_are_not_forgotten(door, claimer):
    ids = [door.enqueue(max_attempts=9) for _ in range(4)]
    door.rows("update _howdah.job set suspect = true where id = any (%s)", ids[:2])

    assert claimer.ids(suspects=0) == ids[2:]
    assert claimer.ids(suspects=1) == ids[:1]
    assert claimer.ids(suspects=1) == ids[1:2]


def test_jobs_of_tasks_that_are_not_claimed_hold_no_floor(door, another_door):
    claimer = Claimer(another_door(), tasks=["mine"])
    door.enqueue("theirs")
    mine = door.enqueue("mine")

    assert claimer.ids() == [mine]
    assert claimer.floor == last_seq(door)


def test_another_priority_is_found_above_between_and_below(door, claimer):
    for priority in (0, 10):
        door.enqueue(priority=priority)
    assert len(claimer.claim()) == 2

    late = {priority: door.enqueue(priority=priority) for priority in (-1, 0, 5, 10, 11)}

    assert claimer.ids() == [late[priority] for priority in (11, 10, 5, 0, -1)]


@pytest.mark.parametrize("priority", [4, 6])
def test_a_job_of_another_priority_is_found_beside_the_only_one_that_is_known(
    door, claimer, priority
):
    door.enqueue(priority=5)
    claimer.claim()

    other = door.enqueue(priority=priority)

    assert [*claimer.floors.above] == [("default", 5)]
    assert claimer.ids() == [other]


def test_what_is_released_is_found_in_front_of_the_only_priority_that_is_known(door, claimer):
    first, second = door.enqueue(), door.enqueue()
    [job] = claimer.claim(1)

    door.release(job)

    assert claimer.ids() == [first, second]


def test_another_queue_is_found_beside_the_known_ones(door, claimer):
    for queue in ("b", "d"):
        door.enqueue(queue=queue)
    assert len(claimer.claim()) == 2

    late = {door.enqueue(queue=queue) for queue in ("a", "b", "b" + chr(1), "c", "d", "e", "日本")}

    assert set(claimer.ids()) == late


def test_known_queues_first_is_said_by_who_claims_often_and_others_when_those_are_empty(
    door, claimer
):
    door.enqueue(queue="known")
    claimer.claim()
    known, other = door.enqueue(queue="known"), door.enqueue(queue="other")

    assert claimer.ids(look=False) == [known]
    assert claimer.ids(look=False) == [other]


def test_a_claim_elsewhere_leaves_no_job_of_a_known_queue_behind(door, claimer, begun):
    door.enqueue(queue="known")
    claimer.claim()
    held, holder = door.enqueue(queue="known"), begun()
    holder.claim(1, queues=["known"])
    other = door.enqueue(queue="other")

    assert claimer.ids(look=False) == [other]
    assert claimer.floors.above["known", 0] < last_seq(door) - 1
    holder.rows("rollback")

    assert claimer.ids(look=False) == [held]


def test_what_waited_while_its_queue_was_paused_is_found(door, claimer):
    door.enqueue(queue="q")
    claimer.claim()
    door.rows("select howdah.pause('q')")
    waiting = [door.enqueue(queue="q") for _ in range(2)]
    other = door.enqueue(queue="r")

    assert claimer.ids() == [other]
    door.rows("select howdah.resume('q')")

    assert claimer.ids() == waiting


def test_a_pattern_takes_only_what_matches_whatever_has_floors(door, another_door):
    claimer = Claimer(another_door(), queues=["mail.*", "web"], except_queues=["mail.slow"])
    wanted = [door.enqueue(queue=queue) for queue in ("mail.a", "mail.b", "web")]
    for queue in ("mail", "mail.slow", "web2", "a", "z"):
        door.enqueue(queue=queue)

    assert claimer.ids() == wanted
    assert claimer.ids() == []
    again = [door.enqueue(queue=queue) for queue in ("mail.c", "mail.a")]
    assert set(claimer.ids()) == set(again)


# Where floors do not hold


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_claim_with_floors_inside_a_transaction_is_refused(door, claimer, refused, isolation):
    door.rows(f"begin isolation level {isolation}")
    door.enqueue()

    with refused("JQ001", "part of a transaction"):
        door.claim(worker=claimer.worker, floors={"floors": []})
    door.rows("rollback")


def test_who_forgets_begins_at_the_start(door, claimer):
    door.enqueue()
    claimer.claim()
    claimer.floors.forget()
    after = door.enqueue()

    assert claimer.ids() == [after]


# What it is for


@contextmanager
def old_snapshot(door):
    door.rows("begin isolation level repeatable read")
    door.rows("select count(*) from _howdah.job")
    yield
    door.rows("rollback")


def buffers(door, statement):
    """Pages that it touches, the least of three times: the catalogue's are not counted, which it
    reads as it is planned, and again when a vacuum has looked at one of its tables."""
    explain = f"explain (analyze, buffers, format json) {statement}"
    plans = [door.one(explain)[0]["Plan"] for _ in range(3)]
    return min(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)


CLAIM = "select from howdah.claim(n => 10, worker => '{worker}'{floors})"


def test_dead_rows_that_an_old_snapshot_keeps_cost_a_claim_with_floors_nothing(
    door, claimer, another_door
):
    with old_snapshot(another_door()):
        for _ in range(8):
            args = ["{}"] * 1000
            door.value("enqueue_batch", task="t", ids=[uuid4() for _ in args], args=args)
            door.finish(claimer.claim(1000))
        floors = f', floors => \'{{"floors": [["default", 0, {claimer.floor}]]}}\''
        blind = buffers(door, CLAIM.format(worker=claimer.worker, floors=""))
        above = buffers(door, CLAIM.format(worker=claimer.worker, floors=floors))
        beat = f"select from howdah.heartbeat('{claimer.worker}'"
        blind_beat, beat_above = buffers(door, beat + ")"), buffers(door, f"{beat}{floors})")

    assert blind > above + 80
    assert blind_beat > beat_above + 80


def test_dead_rows_of_queues_that_are_not_taken_cost_nothing_either(door, claimer, another_door):
    with old_snapshot(another_door()):
        for _ in range(8):
            args, ids = ["{}"] * 1000, [uuid4() for _ in range(1000)]
            door.value("enqueue_batch", task="t", ids=ids, args=args, queue="mail")
            door.finish(door.claim(1000))
        claim = CLAIM.format(
            worker=claimer.worker, floors=", floors => '{}', except_queues => '{\"%s\"}'"
        )
        names = ("warming up", "mail", "m*", "web")
        _, excluded, all_of_a_prefix, blind = [buffers(door, claim % name) for name in names]

    assert blind > max(excluded, all_of_a_prefix) + 100


def test_a_heartbeat_sees_work_above_the_floors_and_where_a_transaction_has_ended(door, claimer):
    def has_work(floors):
        return door.beat(claimer.worker, floors=floors).work

    nothing = has_work({"floors": []})
    ended = door.one("select pg_current_xact_id()::text")
    after_an_end = has_work({"floors": [], "open": [ended]})
    door.enqueue()
    below = has_work({"floors": [["default", 0, last_seq(door)]]})
    above = has_work({"floors": [["default", 0, last_seq(door) - 1]]})

    assert [nothing, after_an_end, below, above] == [False, True, False, True]
