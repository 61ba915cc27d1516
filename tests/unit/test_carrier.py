"""Attempts that share an asyncio task while none waits, and notice nothing of each other."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from howdah import App, current
from howdah.jobs import Claimed
from howdah.outcome import Outcome
from howdah.worker import carrier
from howdah.worker.attempt import Attempt
from howdah.worker.carrier import Carriers
from howdah.worker.means import Means
from howdah.worker.threads import Threads

app = App("postgresql://nowhere")
who: ContextVar[str] = ContextVar("who", default="nobody")
carried_by: dict[str, asyncio.Task[Any] | None] = {}


def seen(name: str) -> None:
    carried_by[name] = asyncio.current_task()


@app.task(name="quick")
async def quick(name: str) -> str:
    seen(name)
    return who.get()


@app.task(name="waits")
async def waits(name: str, until: float = 0.0) -> None:
    seen(name)
    await asyncio.sleep(until)


@app.task(name="sets")
async def sets(name: str) -> None:
    who.set(name)


@app.task(name="cancels_itself")
async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@app.task(name="computes")
async def computes() -> None:
    time.sleep(0.002)  # noqa: ASYNC251 - that is what it is about


@app.task(name="leaves_one_behind")
async def leaves_one_behind(name: str) -> None:
    async def later() -> None:
        await asyncio.sleep(0.02)
        context = current()
        left_behind.append((name, context and context.args["name"]))

    left_behind.append(asyncio.ensure_future(later()))


left_behind: list[Any] = []


class Crew:
    """Carriers with a queue before them, and what came of each attempt."""

    def __init__(self) -> None:
        self.waiting: deque[Attempt] = deque()
        self.outcomes: dict[Attempt, Outcome] = {}
        self.turns = 0
        self._means = Means(threads=Threads())
        self._carriers = Carriers(self._following, self._take, self.go)

    def add(self, task: str, delivery: str = "at_least_once", **args: Any) -> Attempt:
        given = msgspec.json.encode(args).decode()
        job = Claimed(
            id=uuid4(), lease=uuid4(), queue="q", task=task, args=given,
            priority=0, attempt=1, base_attempt=0, max_attempts=4, timeout_ms=None,
            delivery=delivery, leased_until=None, headers=None, tags=None,
        )  # fmt: skip
        attempt = Attempt(job, app.tasks[task], self._means)
        self.waiting.append(attempt)
        return attempt

    def go(self) -> None:
        if self.waiting:
            self._carriers.go()

    async def done(self, *attempts: Attempt) -> list[Outcome]:
        self.go()
        while not all(each in self.outcomes for each in attempts):
            self.turns += 1
            await asyncio.sleep(0)
        return [self.outcomes[each] for each in attempts]

    def _following(self) -> Attempt | None:
        if not self.waiting:
            return None
        attempt = self.waiting.popleft()
        attempt.begin()
        return attempt

    def _take(self, attempt: Attempt, outcome: Outcome) -> None:
        assert attempt not in self.outcomes
        self.outcomes[attempt] = outcome


@pytest.fixture
def crew() -> Crew:
    carried_by.clear()
    left_behind.clear()
    return Crew()


async def test_attempts_that_do_not_wait_share_an_asyncio_task(crew):
    outcomes = await crew.done(*(crew.add("quick", name=name) for name in "abc"))

    assert [outcome.kind for outcome in outcomes] == ["succeeded"] * 3
    assert carried_by["a"] is carried_by["b"] is carried_by["c"]


async def test_one_that_waits_keeps_nobody_waiting_and_has_its_asyncio_task_alone(crew):
    long = crew.add("waits", name="long", until=60)
    await crew.done(*(crew.add("quick", name=name) for name in "ab"))
    assert long not in crew.outcomes
    assert carried_by["a"] is carried_by["b"] is not carried_by["long"]

    long.stop("cancel")
    [outcome] = await crew.done(long)

    assert outcome.kind == "cancelled"
    assert [each.kind for each in crew.outcomes.values()] == ["succeeded", "succeeded", "cancelled"]


async def test_many_that_wait_do_so_together(crew):
    began = time.monotonic()
    await crew.done(*(crew.add("waits", name=str(n), until=0.2) for n in range(300)))

    assert time.monotonic() - began < 2
    assert len({*carried_by.values()}) == 300


async def test_a_context_variable_that_one_sets_is_not_seen_by_the_next(crew):
    crew.add("sets", name="first")
    [outcome] = await crew.done(crew.add("quick", name="next"))

    assert outcome.result == '"nobody"'


async def test_one_that_cancels_its_own_asyncio_task_fails_alone(crew):
    first, last = crew.add("cancels_itself"), crew.add("waits", name="last")
    failed, succeeded = await crew.done(first, last)

    assert failed.kind == "retry"
    assert "cancelled itself" in str(failed.error)
    assert succeeded.kind == "succeeded"


async def test_the_loop_has_its_turn_between_attempts_that_compute(crew):
    await crew.done(*(crew.add("computes") for _ in range(10)))

    assert crew.turns >= 10


async def test_what_is_told_to_stop_before_it_begins_does_not_begin(crew):
    await crew.done(crew.add("waits", name="so that it is known to wait"))
    late = crew.add("waits", delivery="at_most_once", name="late")
    crew.go()
    late.stop("shutdown")
    [outcome] = await crew.done(late)

    assert outcome.kind == "released"
    assert "late" not in carried_by


async def test_what_one_leaves_behind_still_knows_whose_it_is(crew):
    crew.add("leaves_one_behind", name="first")
    await crew.done(crew.add("quick", name="next"))
    await asyncio.gather(*[each for each in left_behind if isinstance(each, asyncio.Future)])

    assert left_behind[-1] == ("first", "first")


async def test_a_task_that_waited_once_is_tried_again(crew, monkeypatch):
    monkeypatch.setattr(carrier, "SEEN", 2)
    await crew.done(crew.add("waits", name="once"))
    await crew.done(*(crew.add("waits", name=name) for name in "ab"))  # alone, each

    await crew.done(*(crew.add("quick", name=name) for name in "cd"))

    assert carried_by["a"] is not carried_by["b"]
    assert carried_by["c"] is carried_by["d"]


@pytest.mark.parametrize("before", [[], ["waits"]], ids=["carried", "alone"])
async def test_who_is_cancelled_by_others_before_the_first_step_holds_nobody_up(crew, before):
    await crew.done(*(crew.add(task, name="before") for task in before))
    attempt, others = crew.add("waits", name="first"), asyncio.all_tasks()
    crew.go()
    for task in asyncio.all_tasks() - others:
        task.cancel()
    last = crew.add("quick", name="last")
    _, outcome = await crew.done(attempt, last)

    assert "first" not in carried_by
    assert outcome.kind == "succeeded"


async def test_a_loop_that_begins_its_tasks_at_once_carries_the_same(crew):
    loop = asyncio.get_running_loop()

    def at_once(loop, coroutine, **given):
        coroutine.close()
        pytest.fail("made by the loop's own factory")

    loop.set_task_factory(at_once)
    try:
        outcomes = await crew.done(*(crew.add("quick", name=str(n)) for n in range(1000)))
    finally:
        loop.set_task_factory(None)

    assert {outcome.kind for outcome in outcomes} == {"succeeded"}
