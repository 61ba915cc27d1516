"""howdah.backlog: due and not paused, capped; for autoscalers."""

from __future__ import annotations

import pytest


def test_it_counts_what_is_due(door):
    door.enqueue_json(*[{"task": "t", "queue": "a"}] * 3, *[{"task": "t", "queue": "b"}] * 2)

    counts = [door.value("backlog", queue=queue) for queue in ("a", "b", "none")]

    assert counts == [3, 2, 0]
    assert door.value("backlog") == 5


def test_running_scheduled_and_finished_jobs_do_not_count(door):
    door.enqueue(delay="1 hour")
    door.enqueue_json(*[{"task": "t"}] * 3)
    door.ack(door.take())
    door.take()

    assert door.value("backlog") == 1


def test_jobs_past_their_time_count_before_anybody_staged_them(door, clock):
    door.enqueue(delay="1 min")
    assert door.value("backlog") == 0

    clock.forward("2 min")

    assert door.value("backlog") == 1
    assert door.value("backlog", queue="default") == 1


def test_paused_queues_do_not_count(door):
    door.enqueue(queue="a")
    door.enqueue(queue="b")

    door.value("pause", queue="a")

    assert door.value("backlog") == 1
    assert door.value("backlog", queue="a") == 0


def test_counting_stops_at_the_cap(door):
    door.enqueue_json(*[{"task": "t"}] * 50)

    assert door.value("backlog", cap=20) == 20
    assert door.value("backlog", queue="default", cap=20) == 20
    assert door.value("backlog", cap=100) == 50


def test_the_cap_holds_for_ready_and_due_together(door, clock):
    door.enqueue_json(*[{"task": "t"}] * 15, *[{"task": "t", "delay": "1 min"}] * 15)

    clock.forward("2 min")

    assert door.value("backlog", cap=20) == 20
    assert door.value("backlog", cap=100) == 30


@pytest.mark.parametrize("cap", [-1, None])
def test_a_cap_without_sense_is_refused(door, refused, cap):
    with refused("JQ001"):
        door.rows("select howdah.backlog(cap => %s::int)", cap)
