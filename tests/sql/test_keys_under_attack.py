"""Keyed work under attack: open transactions, chores at bad moments, keys made to collide."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Thread
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb


@contextmanager
def beside(call):
    """A call that runs in a thread of its own, and has ended after the block."""
    thread = Thread(target=call)
    thread.start()
    yield
    thread.join()


# Keys in a view that waits where it comes to the key a, if it is the pruner who looks.
STOPS_AT_KEY_A = """
    alter table _howdah.serial_key rename to serial_keys;
    create function _howdah.waits(key text) returns boolean language plpgsql volatile as $$
    begin
        if key = 'a' and current_setting('application_name') = 'pruner' then
            perform pg_advisory_lock_shared(1);
        end if;
        return true;
    end $$;
    create view _howdah.serial_key as select * from _howdah.serial_keys where _howdah.waits(key)
"""


@pytest.fixture
def another_own_door(own_dsn, another_door):
    """More doors to the database of the test's own."""
    return lambda **options: another_door(conninfo=own_dsn, **options)


@pytest.fixture
def cursor_is_held(another_door):
    """Somebody sets cursors by hand, and takes their time to commit."""

    def hold(key: str) -> None:
        other = another_door()
        other.rows("begin")
        other.call("set_cursor", key=key, cursor=Jsonb({"by": "hand"}))

    return hold


# Nobody is left behind


def test_a_waiting_job_that_was_nearly_cancelled_gets_its_place(door, another_door):
    door.call("put_limit", key="k", n=1)
    job_id = door.enqueue(limit_keys=["k"])
    other = another_door()
    other.rows("begin")
    other.value("cancel", id=job_id)
    assert door.claim(10) == []
    other.rows("rollback")

    assert [job.id for job in door.claim(10)] == [job_id]


def test_jobs_that_wait_for_another_limit_keep_nobody_behind_them_waiting(door):
    door.call("put_limit", key="a", n=2)
    door.call("put_limit", key="b", n=1)
    door.enqueue(limit_keys=["b"])
    door.take()
    for _ in range(5):
        door.enqueue(limit_keys=["a", "b"])
    only_a = [door.enqueue(limit_keys=["a"]) for _ in range(2)]

    assert [job.id for job in door.claim(10)] == only_a


def test_a_job_moved_to_later_gives_its_turn_up(door):
    door.enqueue(serial_key="k", collapse="waiting")
    door.chores("admit")
    second = door.enqueue(serial_key="k")

    door.enqueue(serial_key="k", collapse="waiting", on_conflict="replace", delay="1 hour")

    assert [job.id for job in door.claim(10)] == [second]


def test_a_tenant_of_any_name_is_served(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    tenants = ["a", "a\x01b", "\x01", "*"]
    for tenant in tenants:
        door.enqueue(queue="q", args=Jsonb({"tenant": tenant}))

    assert {job.args["tenant"] for job in door.claim(10)} == {*tenants}


def test_no_template_makes_a_limit_key_of_control_characters(door, refused):
    door.call("declare_tasks", tasks=Jsonb([{"name": "t", "keys": {"limit_keys": ["{tenant}"]}}]))

    with refused("JQ001"):
        door.enqueue("t", args=Jsonb({"tenant": "\x01queue\x01key"}))


# Nobody waits for a key


def test_finishes_of_others_do_not_wait_for_a_cursor_that_somebody_holds(door, cursor_is_held):
    door.enqueue(serial_key="held"), door.enqueue(serial_key="free")
    held, free = sorted(door.claim(10), key=lambda job: job.serial_key, reverse=True)
    cursor_is_held("held")

    refused = door.finish([held, free], cursors=[Jsonb({}), Jsonb({"n": 1})], skip_locked=True)

    assert refused == {held.id: "busy"}
    assert door.value("cursor", key="free") == {"n": 1}


@pytest.mark.parametrize("options", [{"serial_key": "k"}, {"limit_keys": ["k"]}], ids=str)
def test_a_key_that_somebody_holds_is_looked_at_twice_and_left(door, another_door, options):
    door.call("put_limit", key="k", n=1)
    job_id = door.enqueue(**options)
    other = another_door()
    other.rows("begin")
    other.value("admit")
    door.enqueue(**options)
    noted = "select pg_stat_get_xact_tuples_inserted('_howdah.pending'::regclass)"
    door.rows("begin")
    before = door.one(noted)

    assert door.value("admit") == 0
    assert door.one(noted) - before <= 4
    door.rows("commit")
    other.rows("commit")
    assert door.take().id == job_id


def test_a_cursor_that_is_set_in_an_open_transaction_keeps_other_keys_from_nothing(
    door, cursor_is_held
):
    cursor_is_held("new")
    door.enqueue(serial_key="new")
    other = door.enqueue(serial_key="other")
    door.rows("set lock_timeout to '2 s'")

    assert door.take().id == other


@pytest.mark.parametrize("known", [True, False])
def test_a_share_that_is_put_in_an_open_transaction_holds_up_no_claim(door, another_door, known):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    job = {"queue": "q", "args": Jsonb({"tenant": "a"})}
    if known:
        door.enqueue(**job)
        door.ack(door.take())
    other = another_door()
    other.rows("begin")
    other.call("put_share", queue="q", key="a", weight=2)
    door.rows("set lock_timeout to '2 s'")

    fair, plain = door.enqueue(**job), door.enqueue()

    assert door.take().id == plain
    other.rows("commit")
    assert door.take().id == fair


def test_chores_do_not_wait_for_a_key_that_somebody_holds(own_door, another_own_door):
    own_door.enqueue(serial_key="k", on_failure="skip", timeout="1 second")
    own_door.take()
    own_door.forward("2 seconds")
    other = another_own_door()
    other.rows("begin")
    other.call("set_cursor", key="k", cursor=Jsonb({"by": "hand"}))
    own_door.rows("set statement_timeout = '2s'")

    assert own_door.chores("expire") == {"expire": 1}


def test_pruning_does_not_wait_for_a_claim_in_an_open_transaction(own_door, another_own_door):
    own_door.call("put_rate", key="k", n=1, per="1 second")
    for _ in range(2):
        own_door.enqueue(limit_keys=["k"])
    own_door.take()
    own_door.forward("1 minute")
    other = another_own_door()
    other.rows("begin")
    assert len(other.claim(1)) == 1
    own_door.rows("set statement_timeout = '2s'")

    own_door.chores("prune")


def test_a_finish_in_an_open_transaction_does_not_hold_a_limit(door, another_door):
    door.call("put_limit", key="l", n=5)
    for _ in range(2):
        door.enqueue(serial_key="k", limit_keys=["l"])
    job = door.take()
    other = another_door()
    other.rows("begin")
    other.ack(job)

    mine = door.enqueue(limit_keys=["l"])

    assert [job.id for job in door.claim(10)] == [mine]


# Nobody is let in twice


def test_a_key_is_not_pruned_while_it_is_taken_again(own_door, another_own_door, eventually):
    """The prune looks while the key is free, and gets to the row when it is not."""
    own_door.rows(STOPS_AT_KEY_A)
    for key in "ak":
        own_door.enqueue(serial_key=key)
        own_door.ack(own_door.take())
    pruner = another_own_door(application_name="pruner")
    own_door.rows("select pg_advisory_lock(1)")

    with beside(lambda: pruner.rows("select _howdah.prune_keys(1000)")):
        pid = pruner.connection.info.backend_pid
        eventually(lambda: own_door.one("select pg_blocking_pids(%s) <> '{}'", pid))
        running = own_door.enqueue(serial_key="k")
        assert own_door.take().id == running
        own_door.rows("select pg_advisory_unlock(1)")

    own_door.enqueue(serial_key="k")
    assert own_door.claim(10) == []


def test_a_cursor_is_not_saved_by_who_loses_the_lease_meanwhile(door, another_door, waits_for_lock):
    door.enqueue(serial_key="k")
    worker = door.worker()
    [job] = door.claim(1, worker=worker)
    mine, other = another_door(), another_door()
    other.rows("begin")
    other.call("rescue", worker=worker, running=[job.id])
    said = []

    with beside(lambda: said.append(mine.finish([job], cursors=[Jsonb({"page": 1})]))):
        waits_for_lock(mine)
        other.rows("commit")

    assert said == [{job.id: "lost"}]
    assert door.value("cursor", key="k") == {}


def test_a_limit_counts_what_runs_under_a_rate_already(door):
    door.call("put_rate", key="k", n=10, per="1 second", burst=10)
    for _ in range(6):
        door.enqueue(limit_keys=["k"])
    assert len(door.claim(3)) == 3

    door.call("put_limit", key="k", n=2)
    door.call("put_rate", key="k", n=None)
    door.chores("admit")

    assert door.one("select count(*) from howdah.running") == 3
    assert door.one("select taken from howdah.limits where key = 'k'") >= 3


def test_a_rate_counts_what_was_let_in_before_it(door):
    for _ in range(10):
        door.enqueue(limit_keys=["k"])
    door.chores("admit")

    door.call("put_rate", key="k", n=4, per="1 hour", burst=4)

    assert len(door.claim(10)) == 4


def test_a_job_that_is_retried_by_hand_is_limited(door):
    first = door.enqueue(queue="q")
    door.ack(door.take())
    door.call("put_limit", key="queue:q", n=1)
    door.enqueue(queue="q")
    door.take()

    door.value("retry", id=first)

    assert door.claim(10) == []


# One key is not another


def test_collapsing_by_task_tells_keys_with_slashes_apart(door):
    one = door.enqueue("t", queue="c", serial_key="a/b", collapse="task")
    other = door.enqueue("t", queue="b/c", serial_key="a", collapse="task")

    assert one != other


def test_a_unique_key_of_a_queue_is_not_one_of_all_queues(door):
    one = door.enqueue(queue="mail", unique_key="7", unique_per="queue")

    assert door.enqueue(queue="mail", unique_key="mail/7") != one


@pytest.mark.parametrize("options", [{}, {"unique_while": "waiting"}, {"unique_for": "1 minute"}])
def test_the_longest_unique_key_fits_the_longest_queue(door, options):
    longest = {"queue": "ü" * 120, "unique_key": "k" * 200, "unique_per": "queue", **options}

    assert door.enqueue(**longest) == door.enqueue(**longest)


def test_the_longest_serial_key_collapses(door):
    longest = {"queue": "ü" * 120, "serial_key": "k" * 200, "collapse": "task"}

    assert door.enqueue("ä" * 120, **longest) == door.enqueue("ä" * 120, **longest)


def test_an_id_that_came_twice_gives_way_twice(door):
    waiting = door.enqueue(serial_key="k", collapse="waiting")
    job = {"task": "t", "serial_key": "k", "collapse": "waiting", "id": str(uuid4())}

    said = door.enqueue_json(job, job)

    assert [(row.id, row.created) for row in said] == [(waiting, False)] * 2


# What is said


def test_why_does_not_name_a_skipped_job_as_the_one_before(own_door):
    own_door.enqueue(serial_key="k", on_failure="skip")
    own_door.nack(own_door.take(), retry_in="1 hour")
    second = own_door.enqueue(serial_key="k")

    assert own_door.why(second) == "it is about to be let in, by the next worker that looks"


def test_why_says_that_there_are_others_only_when_there_are(door):
    door.call("put_limit", key="k", n=5)
    for _ in range(5):
        door.enqueue(limit_keys=["k"])
    door.claim(5)
    door.call("put_limit", key="k", n=1)
    late = door.enqueue(limit_keys=["k"])
    door.chores("admit")

    assert "and others" in door.why(late)
