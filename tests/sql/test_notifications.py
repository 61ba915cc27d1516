"""NOTIFY is rationed: only to idle workers that listen, one per statement and queue."""

from __future__ import annotations

from uuid import uuid4

import pytest

END = "the end of the test"


@pytest.fixture
def heard(door, another_door, eventually):
    """What was notified since the last look."""
    listener, got = another_door(), []
    channel = door.value("channel")
    listener.connection.add_notify_handler(lambda notice: got.append(notice.payload))
    listener.rows(f'listen "{channel}"')

    def heard():
        door.rows("select pg_notify(%s, %s)", channel, END)
        eventually(lambda: listener.rows("select 1") and END in got)
        told = [payload for payload in got if payload != END]
        got.clear()
        return told

    return heard


def idle_worker(door, *queues, **options):
    worker = door.worker(f"idle-{uuid4().hex[:4]}", queues=list(queues or ["*"]), **options)
    assert door.claim(1, worker=worker, queues=list(queues or ["*"]), idle=True) == []
    return worker


def named(payloads, workers):
    return {worker for worker in workers if any(str(worker)[:8] in payload for payload in payloads)}


def test_with_nobody_idle_nobody_is_notified(door, heard):
    door.worker()

    door.enqueue()
    door.enqueue_json(*[{"task": "t"}] * 50)
    door.finish(door.claim(51))

    assert heard() == []


def test_a_batch_of_the_quick_road_wakes_as_many_as_it_has_jobs_by_one_notification(door, heard):
    workers = [idle_worker(door) for _ in range(5)]
    ids = [uuid4() for _ in range(4)]

    door.value("enqueue_batch", task="t", ids=ids[:3], args=["{}"] * 3)
    three = heard()
    door.value("enqueue_batch", task="t", ids=ids[3:], args=["{}"], delay="1 hour")
    later = heard()

    assert (len(three), len(named(three, workers)), later) == (1, 3, [])


def test_an_idle_worker_is_named(door, heard):
    worker = idle_worker(door)

    door.enqueue()
    payloads = heard()

    assert len(payloads) == 1
    assert payloads[0].startswith("w")
    assert named(payloads, [worker]) == {worker}


def test_a_claim_that_finds_nothing_marks_as_idle_only_when_told(door, heard):
    worker = door.worker()
    door.claim(1, worker=worker)

    door.enqueue()

    assert heard() == []
    assert door.one("select idle from howdah.workers") is False


def test_idle_workers_are_shown_and_cease_to_be_idle_when_they_find_work(door):
    worker = idle_worker(door)
    before = door.one("select idle from howdah.workers")

    door.enqueue()
    door.claim(1, worker=worker, idle=True)

    assert before is True
    assert door.one("select idle from howdah.workers") is False


def test_one_job_wakes_one_of_twenty(door, heard):
    workers = [idle_worker(door) for _ in range(20)]

    door.enqueue()
    payloads = heard()

    assert len(payloads) == 1
    assert len(named(payloads, workers)) == 1


def test_as_many_are_named_as_there_are_new_jobs_in_one_notification(door, heard):
    workers = [idle_worker(door) for _ in range(6)]

    door.enqueue_json(*[{"task": "t"}] * 3)
    payloads = heard()

    assert len(payloads) == 1
    assert len(named(payloads, workers)) == 3


def test_workers_to_wake_are_picked_at_random(door, heard):
    workers = [idle_worker(door) for _ in range(8)]
    woken = set()

    for _ in range(30):
        door.enqueue(delay=None)
        woken |= named(heard(), workers)
        door.rows("select howdah.delete(id) from howdah.ready")
        for worker in workers:
            door.claim(1, worker=worker, idle=True)

    assert len(woken) > 2


def test_who_listens_to_other_queues_is_left_alone(door, heard):
    idle_worker(door, "mail")

    door.enqueue(queue="sms")

    assert heard() == []


def test_patterns_count_as_listening(door, heard):
    worker = idle_worker(door, "ma*")

    door.enqueue(queue="mail")

    assert named(heard(), [worker]) == {worker}


def test_a_rolled_back_enqueue_wakes_nobody(door, heard):
    idle_worker(door)

    door.rows("begin")
    door.enqueue()
    door.rows("rollback")

    assert heard() == []


def test_wake_off_wakes_nobody(door, heard):
    idle_worker(door)

    door.enqueue(wake=False)

    assert heard() == []


def test_a_job_for_later_wakes_nobody(door, heard):
    idle_worker(door)

    door.enqueue(delay="1 hour")

    assert heard() == []


def test_a_job_due_within_the_poll_interval_wakes(door, heard):
    worker = idle_worker(door)

    door.enqueue(delay="400 ms")

    assert named(heard(), [worker]) == {worker}


def test_a_paused_queue_wakes_nobody_until_it_is_resumed(door, heard):
    worker = idle_worker(door)
    door.value("pause", queue="default")

    door.enqueue()
    heard()
    door.value("resume", queue="default")

    assert named(heard(), [worker]) == {worker}


@pytest.mark.parametrize("road", ["release", "nack", "retry", "run_now", "stage"])
def test_whatever_makes_a_job_ready_wakes(door, heard, clock, road):
    job_id = door.enqueue(delay="1 hour" if road in {"run_now", "stage"} else None)
    job = door.take() if road in {"release", "nack", "retry"} else None
    if road == "retry":
        door.ack(job)
    worker = idle_worker(door)
    heard()

    match road:
        case "release":
            door.release(job)
        case "nack":
            door.nack(job, retry_in="0")
        case "stage":
            clock.forward("2 hours")
            door.beat(worker)
            door.chores("stage")
        case verb:
            door.value(verb, id=job_id)

    assert named(heard(), [worker]) == {worker}


def test_a_claimer_that_got_all_it_asked_for_wakes_one_more(door, heard):
    claimer, sleeper = door.worker("claimer"), idle_worker(door)
    for _ in range(4):
        door.enqueue(wake=False)
    heard()

    door.claim(2, worker=claimer)

    assert named(heard(), [sleeper]) == {sleeper}


def test_the_end_of_a_job_that_somebody_waits_for_is_notified(door, heard):
    job_id, other = door.enqueue("a"), door.enqueue("b")
    [outcome] = door.call("outcome", id=job_id, waiter=uuid4())

    door.finish(door.claim(2))
    payloads = heard()

    assert outcome.state == "ready"
    assert len(payloads) == 1
    assert payloads[0].startswith("f")
    assert str(job_id) in payloads[0]
    assert str(other) not in payloads[0]


@pytest.mark.parametrize("end", ["ack", "fail", "cancel", "cancelled while running", "delete"])
def test_every_end_is_notified_to_who_waits(door, heard, end):
    job_id = door.enqueue(max_attempts=1)
    door.call("outcome", id=job_id, waiter=uuid4())

    match end:
        case "ack":
            door.ack(door.take())
        case "fail":
            door.nack(door.take())
        case "cancelled while running":
            job = door.take()
            door.value("cancel", id=job_id)
            door.finish([job], outcomes=["cancelled"])
        case verb:
            door.value(verb, id=job_id)

    assert any(p.startswith("f") and str(job_id) in p for p in heard())


def test_a_retry_is_no_end(door, heard):
    job_id = door.enqueue()
    door.call("outcome", id=job_id, waiter=uuid4())

    door.nack(door.take(), retry_in="1 hour")

    assert [p for p in heard() if p.startswith("f")] == []


def test_workers_are_told_to_look_at_their_control(door, heard):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)
    heard()

    door.value("cancel", id=job.id)
    cancel = heard()
    door.value("drain", worker=worker)
    drain = heard()

    assert [p[0] for p in (*cancel, *drain)] == ["c", "c"]
    assert named(cancel, [worker]) == named(drain, [worker]) == {worker}


def test_no_notification_holds_a_queue_name_or_is_too_long(door, heard):
    name = "日本" * 60
    for _ in range(3):
        idle_worker(door, name)

    door.enqueue_json(*[{"task": "t", "queue": name}] * 500)
    payloads = heard()

    assert len(payloads) == 1
    assert name not in payloads[0]
    assert len(payloads[0].encode()) < 8000


def test_a_thousand_idle_workers_do_not_make_a_payload_too_long(door, heard):
    door.rows(
        "insert into _howdah.worker (id, started_at, beat_at, lost_after, name)"
        " select gen_random_uuid(), now(), now(), '30 s', 'w' from generate_series(1, 1000);"
        " insert into _howdah.idle (worker, queues) select id, '{*}' from _howdah.worker"
    )

    door.enqueue_json(*[{"task": "t"}] * 2000)

    assert all(len(payload) < 8000 for payload in heard())
    assert door.value("backlog") == 2000


def idle_worker_of(door, *tasks):
    worker = door.worker(tasks=list(tasks))
    assert door.claim(1, worker=worker, tasks=list(tasks), idle=True) == []
    return worker


@pytest.mark.parametrize("known", ["mail.send", "mail.*"])
def test_of_two_idle_workers_the_one_that_knows_the_task_is_woken(door, heard, known):
    knows, other = idle_worker_of(door, known), idle_worker_of(door, "sms.send", "sms.*")

    woken = []
    for _ in range(8):
        door.enqueue("mail.send")
        woken.append(named(heard(), [knows, other]))

    assert woken == [{knows}] * 8


def test_each_task_of_a_batch_wakes_a_worker_that_knows_it(door, heard):
    mail, sms = idle_worker_of(door, "mail"), idle_worker_of(door, "sms")
    idle_worker_of(door, "push")

    door.enqueue_json({"task": "mail"}, {"task": "sms"})

    assert named(heard(), [mail, sms]) == {mail, sms}


def test_a_task_that_no_idle_worker_knows_wakes_nobody(door, heard):
    idle_worker_of(door, "mail")

    door.enqueue("sms")

    assert heard() == []


@pytest.mark.parametrize("how", ["cancel", "ack", "put_limit"])
def test_an_idle_worker_is_named_when_a_job_of_a_key_may_go_on(door, heard, how):
    key = {"serial_key": "k"} if how == "cancel" else {"limit_keys": ["l"]}
    door.call("put_limit", key="l", n=1)
    first = door.enqueue(queue="elsewhere", **key)
    job = door.take() if how != "cancel" else door.value("admit")
    door.enqueue(queue="here", **key)
    door.chores("admit")
    worker = idle_worker(door, "here")
    heard()

    if how == "cancel":
        door.value("cancel", id=first)
    elif how == "ack":
        door.ack(job)
    else:
        door.call("put_limit", key="l", n=2)

    assert named(heard(), [worker]) == {worker}
