"""howdah.pause and howdah.resume: a paused queue is not claimed from; enqueue goes on."""

from __future__ import annotations


def test_a_paused_queue_is_not_claimed_from(door):
    door.enqueue(queue="a")
    door.enqueue(queue="b")

    did = door.value("pause", queue="a")

    assert did is True
    assert [job.queue for job in door.claim(9)] == ["b"]
    assert door.claim(9, queues=["a"]) == []
    assert door.claim(9, queues=["a*"]) == []


def test_enqueue_goes_on_and_resume_lets_it_run(door):
    door.value("pause", queue="a")
    job_id = door.enqueue(queue="a")
    assert door.claim() == []

    did = door.value("resume", queue="a")

    assert did is True
    assert door.take().id == job_id


def test_a_queue_may_be_paused_before_its_first_job(door):
    door.value("pause", queue="later")

    door.enqueue(queue="later")

    assert door.claim() == []
    assert door.one("select paused from howdah.queues where queue = 'later'") is True


def test_each_says_whether_it_did_anything(door):
    answers = [
        door.value(verb, queue="q") for verb in ("resume", "pause", "pause", "resume", "resume")
    ]

    assert answers == [False, True, False, True, False]


def test_running_jobs_of_a_paused_queue_go_on(door):
    door.enqueue(queue="a")
    job = door.take()

    door.value("pause", queue="a")
    door.ack(job)

    assert door.state(job.id) == "succeeded"


def test_jobs_that_become_due_in_a_paused_queue_wait(door, clock):
    job_id = door.enqueue(queue="a", delay="1 min")
    door.value("pause", queue="a")

    clock.forward("2 min")
    door.chores()

    assert door.claim() == []
    door.value("resume", queue="a")
    assert door.take().id == job_id


def test_a_pause_keeps_what_else_the_queue_was_told(door):
    door.call("put_queue", queue="a", keep_history=False)

    door.value("pause", queue="a")
    door.value("resume", queue="a")

    assert door.one("select keep_history from howdah.queues where queue = 'a'") is False


def test_a_rolled_back_pause_pauses_nothing(door):
    door.enqueue(queue="a")

    door.rows("begin")
    door.value("pause", queue="a")
    door.rows("rollback")

    assert len(door.claim()) == 1
