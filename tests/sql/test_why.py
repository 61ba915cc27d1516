"""howdah.why: why a job is not running, in one sentence; each reason really produced."""

from __future__ import annotations

from uuid import uuid4


def is_sentence(text):
    return isinstance(text, str) and len(text) > 8 and "\n" not in text


def test_a_scheduled_job_says_for_when(door):
    job_id = door.enqueue(run_at="2030-06-07 08:09:10+00")

    why = door.why(job_id)

    assert is_sentence(why)
    assert "scheduled" in why
    assert "2030-06-07" in why


def test_a_job_that_failed_once_says_when_it_runs_again(door):
    job_id = door.enqueue()
    door.nack(door.take(), error="boom", retry_in="1 hour")

    why = door.why(job_id)

    assert "scheduled" in why
    assert str(door.job(job_id).run_at.date()) in why


def test_a_job_of_a_paused_queue_says_so(door):
    job_id = door.enqueue(queue="mail")
    door.value("pause", queue="mail")

    why = door.why(job_id)

    assert "paused" in why
    assert "mail" in why


def test_a_job_that_nobody_listens_for_says_so(door):
    door.worker(queues=["other"])
    job_id = door.enqueue(queue="mail")

    why = door.why(job_id)

    assert "no worker" in why.lower()
    assert "mail" in why


def test_a_job_whose_task_no_worker_knows_says_so(door):
    door.worker(queues=["mail"], tasks=["mail.receive"])
    job_id = door.enqueue("mail.send", queue="mail")

    why = door.why(job_id)

    assert "no worker" in why.lower()
    assert "mail.send" in why


def test_a_dead_worker_does_not_count_as_listening(door, clock):
    door.worker(queues=["mail"])
    job_id = door.enqueue(queue="mail")
    served = door.why(job_id)

    clock.forward("5 min")

    assert "no worker" not in served.lower()
    assert "no worker" in door.why(job_id).lower()


def test_patterns_of_workers_count_as_listening_and_knowing(door):
    door.worker(queues=["ma*"], tasks=["mail.*"])
    job_id = door.enqueue("mail.send", queue="mail")

    why = door.why(job_id)

    assert is_sentence(why)
    assert "no worker" not in why.lower()


def test_a_running_job_says_on_whom_and_since_when(door):
    worker = door.worker("elephant-1")
    job_id = door.enqueue()
    door.take(worker=worker)

    why = door.why(job_id)

    assert "running" in why
    assert "elephant-1" in why
    assert str(door.job(job_id).started_at.year) in why


def test_a_job_that_runs_without_a_worker_says_since_when(door):
    job_id = door.enqueue()
    door.take()

    why = door.why(job_id)

    assert is_sentence(why)
    assert "running" in why


def test_a_job_whose_lease_ran_out_does_not_claim_to_run(door, clock):
    job_id = door.enqueue(timeout="10 s")
    door.take()

    clock.forward("1 min")

    assert "expired" in door.why(job_id) or "ran out" in door.why(job_id)


def test_finished_jobs_say_how_they_ended(door):
    said = {}

    for outcome in ("succeeded", "failed", "cancelled"):
        job_id = door.enqueue()
        door.finish([door.take()], outcomes=[outcome], errors=["boom"])
        said[outcome] = door.why(job_id)

    assert all(outcome in why for outcome, why in said.items())
    assert "boom" in said["failed"]


def test_an_unknown_job_gets_an_answer_too(door):
    why = door.why(uuid4())

    assert why is None or "no" in why.lower()


def test_every_state_has_its_own_words(door):
    ids = [door.enqueue(delay="1 h"), door.enqueue(queue="q"), door.enqueue()]
    door.claim(1, queues=["default"])

    words = {door.why(job_id) for job_id in ids}

    assert len(words) == 3
    assert all(is_sentence(why) for why in words)
