"""serial_key: jobs of one key run one at a time, in order, and hand on a cursor."""

from __future__ import annotations

from threading import Thread

import pytest
from psycopg.types.json import Jsonb


def test_one_at_a_time_in_the_order_of_enqueue(door):
    first, second, third = (
        door.enqueue(queue=queue, priority=priority, serial_key="k")
        for queue, priority in (("a", 0), ("b", 9), ("a", 5))
    )

    order = []
    for _ in range(3):
        [job] = door.claim(10)
        assert door.claim(10) == []
        order.append(job.id)
        door.ack(job)

    assert order == [first, second, third]


def test_other_keys_and_plain_jobs_run_beside_it(door):
    kept = [door.enqueue(serial_key="a"), door.enqueue(serial_key="b"), door.enqueue()]
    door.enqueue(serial_key="a")

    claimed = door.claim(10)

    assert {job.id for job in claimed} == {*kept}


@pytest.mark.parametrize("keys", [{"serial_key": "k"}, {"limit_keys": ["k"]}])
def test_who_is_let_in_goes_behind_all_that_is_ready_and_why_says_so(door, keys):
    door.value("put_limit", key="k", n=1)
    running, waiting = [door.enqueue(**keys) for _ in range(2)]
    job = door.take()
    backlog = [door.enqueue() for _ in range(3)]
    door.worker()

    door.ack(job)
    door.value("admit")

    assert job.id == running
    assert door.why(waiting) == "ready: 3 jobs of queue default before it"
    assert [job.id for job in door.claim(10)] == [*backlog, waiting]


@pytest.mark.parametrize(
    ("own", "slots_of", "passes_by"),
    [
        pytest.param({"priority": 1}, None, True, id="a greater priority"),
        pytest.param({"queue": "own"}, ["own"], True, id="a queue with slots of its own"),
        pytest.param({"queue": "own"}, None, False, id="a queue alone"),
    ],
)
def test_what_lets_a_key_pass_by_a_backlog(door, own, slots_of, passes_by):
    _, waiting = [door.enqueue(serial_key="k", **own) for _ in range(2)]
    job = door.take()
    backlog = [door.enqueue() for _ in range(3)]

    door.ack(job)

    assert door.take(queues=slots_of).id == (waiting if passes_by else backlog[0])


def test_the_cursor_is_handed_on_with_a_success(door):
    for _ in range(2):
        door.enqueue(serial_key="k")
    job = door.take()
    assert job.cursor == {}
    door.finish([job], cursors=[Jsonb({"page": 1})])

    job = door.take()

    assert (job.serial_key, job.cursor) == ("k", {"page": 1})
    assert door.value("cursor", key="k") == {"page": 1}
    door.ack(job)
    assert door.value("cursor", key="k") == {"page": 1}
    assert door.job(job.id).cursor == {"page": 1}  # as it was at the start
    assert door.one("select updated_by from howdah.cursors where key = 'k'") != job.id


def test_a_lost_lease_saves_no_cursor(own_door):
    own_door.enqueue(serial_key="k", timeout="1 second")
    job = own_door.take()
    own_door.forward("2 seconds")

    assert own_door.finish([job], cursors=[Jsonb({"page": 1})]) == {job.id: "lost"}

    assert own_door.value("cursor", key="k") == {}


def test_a_success_that_meets_a_request_to_cancel_leaves_its_cursor_all_the_same(door):
    door.enqueue(serial_key="k")
    job = door.take()
    door.value("cancel", id=job.id)

    door.finish([job], cursors=[Jsonb({"page": 2})])

    assert door.state(job.id) == "cancelled"
    assert door.value("cursor", key="k") == {"page": 2}


def test_a_failed_head_holds_up_its_key_until_it_is_settled(own_door):
    first, second = own_door.enqueue(serial_key="k"), own_door.enqueue(serial_key="k")
    own_door.nack(own_door.take(), retry_in="1 minute")
    assert own_door.claim(10) == []
    assert f"waiting for job {first} of key k (scheduled)" in own_door.why(second)

    own_door.forward("2 minutes")
    own_door.nack(own_door.take(), retry=False)

    assert [job.id for job in own_door.claim(10)] == [second]


def test_a_failed_head_that_is_to_be_skipped_lets_the_next_one_on(own_door):
    first = own_door.enqueue(serial_key="k", on_failure="skip")
    second = own_door.enqueue(serial_key="k", no_timeout=True)
    own_door.nack(own_door.take(), retry_in="1 minute")
    job = own_door.take()
    assert job.id == second

    own_door.forward("2 minutes")
    assert own_door.claim(10) == []  # its time has come, but not its turn
    own_door.ack(job)

    assert [job.id for job in own_door.claim(10)] == [first]


def test_a_released_job_keeps_its_turn(door):
    first, _ = door.enqueue(serial_key="k"), door.enqueue(serial_key="k")
    door.release(door.take())

    assert [job.id for job in door.claim(10)] == [first]


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_the_next_one_goes_on_when_the_waiting_head_is_taken_away(door, verb):
    first, second = door.enqueue(serial_key="k"), door.enqueue(serial_key="k")
    door.chores("admit")
    assert door.state(first) == "ready"

    door.value(verb, id=first)

    assert [job.id for job in door.claim(10)] == [second]


def test_a_swept_worker_gives_the_key_back_with_its_job(own_door):
    first, _ = own_door.enqueue(serial_key="k"), own_door.enqueue(serial_key="k")
    worker = own_door.worker()
    [_job] = own_door.claim(10, worker=worker)
    own_door.forward("1 minute")
    own_door.chores("rescue")

    assert [job.id for job in own_door.claim(10)] == [first]


def test_a_job_of_later_does_not_hold_up_its_key(door):
    later = door.enqueue(serial_key="k", delay="1 hour")
    now = door.enqueue(serial_key="k")

    door.ack(door.take())

    assert (door.state(later), door.state(now)) == ("scheduled", "succeeded")


def test_a_retried_job_waits_for_its_turn(door):
    first, second = door.enqueue(serial_key="k"), door.enqueue(serial_key="k")
    door.ack(door.take())
    job = door.take()

    door.value("retry", id=first)

    assert door.claim(10) == []
    door.ack(job)
    assert [job.id for job in door.claim(10)] == [first]
    assert second == job.id


def test_the_original_rule_of_collapsing(door):
    door.enqueue("a", serial_key="c", collapse="waiting")
    running = door.take()
    waiting = door.enqueue("b", serial_key="c", collapse="waiting", args=Jsonb({"n": 1}))

    same = door.enqueue("c", queue="other", serial_key="c", collapse="waiting")

    assert same == waiting
    assert door.claim(10) == []
    door.ack(running)
    [job] = door.claim(10)
    assert (job.id, job.task) == (waiting, "b")
    assert door.enqueue("d", serial_key="c", collapse="waiting") not in {waiting, running.id}


def test_a_waiting_job_collapses_even_when_it_is_ready(door):
    first = door.enqueue(serial_key="c", collapse="waiting")
    door.chores("admit")
    assert door.state(first) == "ready"

    assert door.enqueue(serial_key="c", collapse="waiting") == first


def test_collapsing_by_task(door):
    a = door.enqueue("a", serial_key="c", collapse="task")
    b = door.enqueue("b", serial_key="c", collapse="task")

    assert a != b
    assert door.enqueue("a", serial_key="c", collapse="task") == a
    assert door.enqueue("a", queue="other", serial_key="c", collapse="task") not in {a, b}


def test_merging_and_the_earlier_time(own_door):
    first = own_door.enqueue(
        serial_key="c", collapse="waiting", delay="1 hour", args=Jsonb({"items": [1]})
    )
    for item in (2, 3):
        own_door.enqueue(
            serial_key="c",
            collapse="waiting",
            delay="1 minute",
            args=Jsonb({"items": [item]}),
            on_conflict="merge",
            earlier=True,
        )

    job = own_door.job(first)

    assert job.args == {"items": [1, 2, 3]}
    own_door.forward("2 minutes")
    assert [job.id for job in own_door.claim(10)] == [first]


def test_fifty_callers_on_one_collapsing_key_get_one_id(another_door):
    found = []

    def call() -> None:
        mine = another_door()
        found.append(mine.enqueue(serial_key="c", collapse="waiting"))

    threads = [Thread(target=call) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 50
    assert len({*found}) == 1


def test_batches_of_many_keys_in_any_order_never_wait_in_a_circle(another_door):
    keys = [f"k{number}" for number in range(40)]
    failed = []

    def send(order: list[str]) -> None:
        mine = another_door()
        for _ in range(5):
            try:
                mine.enqueue_json(
                    *({"task": "t", "serial_key": key, "collapse": "waiting"} for key in order)
                )
                for job in mine.claim(20):
                    mine.ack(job)
            except Exception as error:
                failed.append(error)

    threads = [Thread(target=send, args=(keys[i:] + keys[:i],)) for i in (0, 13, 26)]
    threads += [Thread(target=send, args=([*reversed(keys)],))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []


def test_an_open_transaction_that_enqueues_holds_up_nobody(door, another_door):
    door.enqueue(serial_key="k")
    other = another_door()
    other.rows("begin")
    late = other.enqueue(serial_key="k")

    door.ack(door.take())
    second = door.enqueue(serial_key="k")
    [job] = door.claim(10)
    other.rows("commit")

    assert job.id == second
    assert door.claim(10) == []
    door.ack(job)
    assert [job.id for job in door.claim(10)] == [late]


def test_whom_somebody_is_about_to_cancel_is_not_overtaken(door, another_door):
    first, second = door.enqueue(serial_key="k"), door.enqueue(serial_key="k")
    other = another_door()
    other.rows("begin")
    other.value("cancel", id=first)
    assert door.claim(10) == []
    other.rows("rollback")

    assert [job.id for job in door.claim(10)] == [first]
    assert door.state(second) == "blocked"


def test_a_cursor_is_set_by_hand_if_nobody_was_first(door, refused):
    assert door.value("set_cursor", key="k", cursor=Jsonb({"n": 1}), expected_version=0) == 1
    assert door.value("set_cursor", key="k", cursor=Jsonb({"n": 2}), expected_version=1) == 2

    with refused("JQ003"):
        door.call("set_cursor", key="k", cursor=Jsonb({"n": 9}), expected_version=1)
    assert door.value("cursor", key="k") == {"n": 2}


@pytest.mark.parametrize(
    "options",
    [
        {"serial_key": ""},
        {"serial_key": "k" * 201},
        {"collapse": "waiting"},
        {"serial_key": "k", "collapse": "always"},
        {"serial_key": "k", "on_failure": "weep"},
        {"serial_key": "k", "collapse": "task", "unique_key": "u"},
        {"unique_while": "waiting"},
        {"unique_key": "u", "on_conflict": "fight"},
        {"unique_key": "u", "unique_for": "-1 s"},
        {"limit_keys": []},
        {"limit_keys": ["a*"]},
    ],
)
def test_bad_keys_are_refused_and_nothing_is_stored(door, options, refused):
    with refused("JQ001"):
        door.call("enqueue", task="t", **options)
    assert door.counts() == (0, 0)


def test_a_declared_task_makes_its_keys_from_the_arguments(door, refused):
    door.call(
        "declare_tasks",
        tasks=Jsonb(
            [{"name": "sync", "keys": {"serial_key": "account:{id}", "on_failure": "skip"}}]
        ),
    )

    job_id = door.enqueue("sync", args=Jsonb({"id": 7}))

    assert door.job(job_id).serial_key == "account:7"
    with refused("JQ001", "needs the argument id"):
        door.enqueue("sync")
