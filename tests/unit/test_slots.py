"""How many jobs a worker asks for, and how many run at once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from howdah import App
from howdah.jobs import Claimed
from howdah.task import Task
from howdah.worker.slots import MOST_ASKED, Slots, groups_of, prefetch, wanted, with_processes


def claimed(queue: str = "default") -> Claimed:
    return Claimed(
        id=uuid4(),
        lease=uuid4(),
        queue=queue,
        task="t",
        args="{}",
        priority=0,
        attempt=1,
        base_attempt=0,
        max_attempts=4,
        timeout_ms=60_000,
        delivery="at_least_once",
        leased_until=None,
        headers=None,
        tags=None,
    )


def test_slow_tasks_are_not_prefetched_at_all() -> None:
    assert prefetch(0.0) == 0
    assert prefetch(5.0) == 0
    assert wanted(free=10, waiting=0, pace=5.0) == 10


def test_quick_tasks_are_prefetched_for_a_tenth_of_a_second_or_two() -> None:
    held = prefetch(10_000.0)

    assert 1_000 <= held <= 2_000


def test_nothing_is_asked_for_until_half_of_what_is_held_is_used_up() -> None:
    assert wanted(free=0, waiting=800, pace=10_000) == 0
    assert wanted(free=0, waiting=751, pace=10_000) == 0
    assert wanted(free=0, waiting=750, pace=10_000) == 750


def test_without_a_free_slot_and_without_pace_nothing_is_asked_for() -> None:
    assert wanted(free=0, waiting=0, pace=0.0) == 0


@given(st.integers(0, 10_000), st.integers(0, 5_000), st.floats(0, 1e6))
def test_what_is_asked_for_is_never_negative_nor_more_than_one_call_takes(
    free: int, waiting: int, pace: float
) -> None:
    n = wanted(free=free, waiting=waiting, pace=pace)

    assert 0 <= n <= MOST_ASKED <= 10_000
    assert n == 0 or waiting + n <= free + prefetch(pace)


def test_no_more_jobs_start_than_there_are_slots() -> None:
    slots = Slots(["*"], 2)
    jobs = [claimed() for _ in range(3)]
    slots.hold(jobs)

    first = [slots.take() for _ in range(3)]
    slots.ended()
    then = [slots.take() for _ in range(2)]

    assert first == [*jobs[:2], None]
    assert then == [jobs[2], None]
    assert slots.running == 2


def test_what_has_not_started_is_taken_back_once() -> None:
    slots = Slots(["*"], 1)
    slots.waiting.extend(jobs := [claimed(), claimed()])

    back, again = slots.take_back(), slots.take_back()

    assert back == jobs
    assert again == []


def declared(**executors: str | None) -> dict[str, Task[..., Any]]:
    app = App()
    for name, executor in executors.items():
        app.task(name=name, executor=executor)(lambda: None)
    return app.tasks


def test_tasks_for_processes_have_slots_of_their_own_on_all_queues() -> None:
    groups = groups_of(["mail:2", "web", "sms.*"], 10)

    mail, shared, pool = with_processes(groups, declared(a=None, b="process"), 4, isolate=False)

    assert (pool.queues, pool.tasks, pool.size) == (("mail", "web", "sms.*"), ("b",), 4)
    assert (mail.tasks, shared.tasks, shared.but) == (("a",), ("a",), ("mail",))


def test_without_such_tasks_nothing_is_added() -> None:
    groups = groups_of(None, 10)

    assert with_processes(groups, declared(a=None), 4, isolate=False) == groups


def test_slots_for_suspects_alone_claim_nothing() -> None:
    shared, pool = with_processes(groups_of(None, 10), declared(a=None), 4, isolate=True)

    assert (shared.tasks, pool.tasks) == (None, ())
    assert (shared.wants(), pool.wants()) == (10, 0)


def test_suspects_take_no_slot_from_tasks_that_run_in_processes() -> None:
    tasks = declared(a=None, b="process")

    _, pool, suspects = with_processes(groups_of(None, 10), tasks, 2, isolate=True)

    assert (pool.tasks, pool.size, pool.in_processes) == (("b",), 2, True)
    assert (suspects.tasks, suspects.size, suspects.in_processes) == ((), 10, True)


def test_slots_that_rest_want_nothing_for_a_while() -> None:
    slots = Slots(["*"], 3)

    slots.rest(60)
    resting = slots.wants()
    slots.rest(0)

    assert (resting, slots.wants()) == (0, 3)
