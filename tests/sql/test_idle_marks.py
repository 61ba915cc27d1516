"""Who is idle is known at once, whatever came and went; and no mark is overlooked for long."""

from __future__ import annotations

import re

import pytest
from psycopg import IsolationLevel
from psycopg.types.json import Jsonb

MANY = 1_000  # marks that were cleared: enough to fill some twenty pages


@pytest.fixture
def woken(door, another_door, eventually):
    """The payloads that name workers to be woken by a piece of work."""
    listener, got = another_door(), []
    listener.connection.add_notify_handler(lambda notice: got.append(notice.payload))
    listener.rows(f'listen "{door.value("channel")}"')

    def woken(work):
        got.clear()
        work()
        door.rows("select pg_notify(howdah.channel(), 'end')")
        eventually(lambda: listener.rows("select 1") and "end" in got)
        return [payload for payload in got if payload.startswith("w")]

    return woken


@pytest.fixture
def old_snapshot(another_door):
    """Somebody who keeps vacuum from removing what goes from now on."""
    reporter = another_door()
    reporter.connection.isolation_level = IsolationLevel.REPEATABLE_READ
    reporter.connection.autocommit = False
    reporter.rows("select count(*) from _howdah.idle")
    return reporter


def sleep(door, worker, queue="mail"):
    """What a worker does that finds nothing."""
    assert door.claim(1, worker=worker, queues=[queue], idle=True) == []
    assert door.claim(1, worker=worker, queues=[queue]) == []


def come_and_go(door, times):
    """Marks of five workers, each cleared by a job; one hundred jobs a queue keep claims quick."""
    workers = [door.worker(f"w{n}") for n in range(5)]
    for n in range(times):
        queue, worker = f"q{n // 100}", workers[n % 5]
        door.claim(1, worker=worker, queues=[queue], idle=True)
        door.enqueue(queue=queue)
        assert len(door.claim(1, worker=worker, queues=[queue])) == 1


def pages(door, statement, *values):
    """How many pages a statement looked at, with all the functions that it called."""
    found = door.rows(f"explain (analyze, buffers, timing off) {statement}", *values)
    return sum(int(hit) for line in found for hit in re.findall(r"shared hit=(\d+)", line[0])[:1])


def pages_of_enqueue(door):
    door.enqueue(queue="other")
    return min(pages(door, "select howdah.enqueue('t', queue => 'other')") for _ in range(3))


def pages_of_sleep_and_claim(door, worker):
    claim = "select howdah.claim(array['mail'], 1, %s, idle => true)"
    looked_at = pages(door, claim, worker)
    door.enqueue(queue="mail")
    return looked_at + pages(door, claim, worker)


def test_marks_that_were_cleared_cost_an_enqueue_nothing(door, old_snapshot):
    pages_of_enqueue(door)
    before = pages_of_enqueue(door)

    come_and_go(door, MANY)

    assert pages_of_enqueue(door) <= before * 1.1 + 2


@pytest.mark.slow
def test_marks_that_were_cleared_cost_an_enqueue_nothing_beside_a_worker_that_sleeps_on(
    door, old_snapshot
):
    sleeper = door.worker("sleeper")
    sleep(door, sleeper)
    pages_of_enqueue(door)
    before = pages_of_enqueue(door)

    come_and_go(door, MANY)
    door.beat(sleeper)
    door.enqueue(queue="other")

    assert pages_of_enqueue(door) <= before * 1.1 + 20


def test_marks_that_were_cleared_cost_a_claim_nothing(door, old_snapshot):
    worker = door.worker()
    pages_of_sleep_and_claim(door, worker)
    before = pages_of_sleep_and_claim(door, worker)

    for _ in range(MANY):
        door.claim(1, worker=worker, queues=["none"], idle=True)
        door.rows("delete from _howdah.idle")
        door.enqueue(queue="for nobody")

    assert pages_of_sleep_and_claim(door, worker) <= before * 1.1 + 20


def test_when_the_last_mark_is_cleared_the_first_enqueue_notes_that_nobody_is_idle(door):
    worker = door.worker()
    sleep(door, worker)
    noted = "select not is_called from _howdah.idle_mark"
    before = door.one(noted)

    door.enqueue(queue="mail", wake=False)
    door.claim(1, worker=worker, queues=["mail"])
    door.enqueue(queue="mail")

    assert (before, door.one(noted)) == (False, True)


@pytest.mark.parametrize("net", ["the claim before sleeping", "the poll"])
def test_a_mark_that_was_not_committed_when_somebody_looked_counts_all_the_same(
    door, another_door, woken, net
):
    worker, other = door.worker(), another_door()
    other.rows("begin")
    other.claim(1, worker=worker, queues=["mail"], idle=True)
    assert woken(lambda: door.enqueue(queue="sms")) == []
    other.rows("commit")

    if net == "the poll":
        door.beat(worker)
    else:
        door.claim(1, worker=worker, queues=["mail"])

    assert woken(lambda: door.enqueue(queue="mail")) == [f"w{str(worker)[:8]}"]


def test_a_mark_that_took_its_time_to_commit_while_a_few_came_and_went_counts(
    door, another_door, woken
):
    worker, other = door.worker(), another_door()
    come_and_go(door, 100)
    other.rows("begin")
    other.claim(1, worker=worker, queues=["mail"], idle=True)
    woken(lambda: come_and_go(door, 25))
    other.rows("commit")

    door.claim(1, worker=worker, queues=["mail"])

    assert woken(lambda: door.enqueue(queue="mail")) == [f"w{str(worker)[:8]}"]


def test_who_enqueues_with_an_older_snapshot_notes_nothing(door, old_snapshot, woken):
    worker = door.worker()
    sleep(door, worker)

    old_snapshot.enqueue(queue="mail")
    old_snapshot.connection.rollback()

    assert woken(lambda: door.enqueue(queue="mail")) == [f"w{str(worker)[:8]}"]


def test_a_mark_that_was_rolled_back_wakes_nobody(door, another_door, woken):
    worker, other = door.worker(), another_door()
    other.rows("begin")
    other.claim(1, worker=worker, queues=["mail"], idle=True)
    other.rows("rollback")

    assert woken(lambda: door.enqueue(queue="mail")) == []
    assert door.one("select idle from howdah.workers") is False


def test_an_old_mark_is_made_new_by_the_poll(door):
    sleeper = door.worker("sleeper")
    sleep(door, sleeper)
    lag = "select m.last_value - i.mark from _howdah.idle i, _howdah.idle_mark m where worker = %s"

    come_and_go(door, 300)
    grown = door.one(lag, sleeper)
    door.beat(sleeper)

    assert grown > 256
    assert door.one(lag, sleeper) == 0


def test_a_worker_that_is_marked_for_more_is_woken_for_all(door, woken):
    worker = door.worker()
    sleep(door, worker, "mail")
    sleep(door, worker, "sms")
    sleep(door, worker, "mail")

    told = [woken(lambda queue=queue: door.enqueue(queue=queue)) for queue in ("mail", "sms")]

    assert told == [[f"w{str(worker)[:8]}"]] * 2
    assert door.one("select count(*) from _howdah.idle") == 1


def test_a_worker_for_every_task_stays_that_when_it_is_marked_for_one_more(door, woken):
    worker = door.worker()
    sleep(door, worker, "mail")
    door.claim(1, worker=worker, queues=["sms"], tasks=["send"], idle=True)

    assert woken(lambda: door.enqueue("other", queue="mail")) == [f"w{str(worker)[:8]}"]


def test_a_mark_as_the_release_before_makes_it_is_woken_for_what_it_listens_to(door, woken):
    worker = door.worker()
    door.rows("insert into _howdah.idle values (%s, '{mail.*,s_s}', '{send*,p%%}')", worker)
    told = f"w{str(worker)[:8]}"

    for queue, task, heard in (
        ("mail.x", "send.it", [told]),
        ("mail", "send.it", []),
        ("s_s", "p%", [told]),
        ("sms", "send", []),
        ("s_s", "pp", []),
    ):
        assert woken(lambda q=queue, t=task: door.enqueue(t, queue=q)) == heard, (queue, task)


def test_the_floor_rises_while_everybody_who_is_wanted_is_found(door):
    """Nobody else looks where it may lie."""
    workers = [door.worker(f"w{n}") for n in range(2)]
    sleep(door, workers[0])
    before = door.one("select last_value from _howdah.idle_floor")

    for n in range(400):
        door.claim(1, worker=workers[1], queues=[f"q{n}"], idle=True)
        door.enqueue(queue=f"q{n}")
        assert len(door.claim(5, worker=workers[1], queues=[f"q{n}"])) == 1  # a full one wakes
        if n % 100 == 99:
            door.beat(workers[0])

    assert door.one("select last_value from _howdah.idle_floor") > before


def test_who_sleeps_on_the_queue_that_a_task_declares_is_woken(door, woken):
    door.call("declare_tasks", tasks=Jsonb([{"name": "remind", "queue": "mail"}]))
    worker = door.worker()
    sleep(door, worker, "mail")

    told = woken(lambda: door.enqueue("remind"))

    assert told == [f"w{str(worker)[:8]}"]


def test_a_copy_whose_numbers_are_of_different_moments_wakes(own_door):
    """A dump reads one sequence after the other."""
    own_door.rows("select setval('_howdah.idle_floor', 1000)")
    worker = own_door.worker()
    sleep(own_door, worker)

    own_door.rows(f'listen "{own_door.value("channel")}"')
    own_door.enqueue(queue="mail")

    assert [n.payload for n in own_door.connection.notifies(timeout=5, stop_after=1)] == [
        f"w{str(worker)[:8]}"
    ]


@pytest.mark.parametrize("end", ["leave", "sweep"])
def test_no_mark_outlives_its_worker(door, clock, end):
    worker = door.worker()
    sleep(door, worker)

    if end == "leave":
        door.value("leave", worker=worker)
    else:
        clock.forward("1 hour")
        door.chores("rescue")

    assert door.one("select count(*) from _howdah.idle") == 0
