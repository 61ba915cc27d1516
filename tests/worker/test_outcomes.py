"""What tasks return and raise, and what is stored of it."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest

from howdah import Cancel, Context, Fail, Retry, Snooze, current, jobs
from howdah.outcome import Succeeded
from howdah.worker import finisher
from howdah.worker.finisher import Finisher
from howdah.worker.threads import Threads

ONCE = Retry(max_attempts=1)


@pytest.fixture
def run(app, store, eventually):
    """Run one job of a function, and give it as it ended; then see that the worker still works."""

    async def run(function, *, until="", retry=ONCE, args=None, **options):
        task = app.task(name="task", retry=retry, **options)(function)

        @app.task(name="after")
        async def after(): ...

        async with app.worker(slots=1):
            job_id = store.enqueue(task.name, args or {})
            if until:
                await eventually(lambda: store.state(job_id) == until)
            else:
                await eventually(
                    lambda: store.state(job_id) in {"succeeded", "failed", "cancelled"}, 5
                )
            last = await after.enqueue()
            await eventually(lambda: store.state(last) == "succeeded", 5)
            return store.job(job_id)

    return run


async def test_a_result_is_stored_as_json(run):
    def task():
        return {"now": [1, 2.5, None, "Zoë"], "span": timedelta(seconds=90)}

    job = await run(task)

    assert job.state == "succeeded"
    assert job.result == {"now": [1, 2.5, None, "Zoë"], "span": "PT90S"}


@pytest.mark.parametrize("way", ["returned", "raised"])
async def test_a_snoozed_job_waits_and_is_not_charged(run, store, way):
    async def task(ctx: Context):
        if way == "raised":
            raise Snooze("1h")
        return Snooze(timedelta(hours=1))

    job = await run(task, until="scheduled")

    assert job.attempt == 0
    assert store.one("select %s - now() > interval '59 min'", job.run_at)
    assert store.attempts(job.id) == ["snoozed"]


@pytest.mark.parametrize("way", ["returned", "raised"])
async def test_a_task_may_cancel_its_job(run, way):
    def task():
        if way == "raised":
            raise Cancel("the user has gone\x00\ud800")
        return Cancel("the user has gone\x00\ud800")

    job = await run(task)

    assert (job.state, job.error) == ("cancelled", "the user has gone\ufffd\\ud800")


@pytest.mark.parametrize("way", ["returned", "raised"])
async def test_a_task_may_fail_its_job_for_good_and_leave_a_result(run, store, way):
    def task():
        word = Fail("declined\x00", {"code": 51})
        if way == "raised":
            raise word
        return word

    job = await run(task, retry=Retry(max_attempts=5))

    assert (job.state, job.attempt) == ("failed", 1)
    assert (job.error, job.result) == ("declined\ufffd", {"code": 51})
    assert store.attempts(job.id) == ["error"]


@pytest.mark.parametrize(("given", "error"), [
    (None, "declined"), (object(), "the result cannot be stored: "),
], ids=["none", "not JSON"])  # fmt: skip
async def test_a_task_that_fails_for_good_needs_no_result_and_must_give_json(run, given, error):
    async def task():
        raise Fail("declined", given)

    job = await run(task, retry=Retry(max_attempts=5))

    assert (job.state, job.attempt, job.result) == ("failed", 1, None)
    assert job.error.startswith(error)


@pytest.mark.parametrize("length", [10.0**15, 900 * 365 * 86400])
async def test_a_snooze_beyond_all_time_fails_its_own_job_only(run, length):
    async def task():
        raise Snooze(length)

    job = await run(task)

    assert job.state == "failed"
    assert "ten years" in job.error or "not a duration" in job.error


class Rude(Exception):
    def __str__(self):
        raise ValueError("no")


class Ruder(Exception):
    def __str__(self):
        raise KeyboardInterrupt


ERRORS = {
    "sys.exit": SystemExit(3),
    "ctrl-c": KeyboardInterrupt(),
    "stop iteration": StopIteration(),
    "generator exit": GeneratorExit(),
    "cancelled": asyncio.CancelledError(),
    "nul": ValueError("a\x00b"),
    "surrogates": ValueError("a\ud800b"),
    "str raises": Rude(),
    "str raises worse": Ruder(),
    "huge": ValueError("x" * 5_000_000),
    "group": BaseExceptionGroup("many", [SystemExit(1), ValueError("v")]),
    "odd code": SystemExit("a\x00b"),
}


@pytest.mark.parametrize("kind", ["coroutine", "thread"])
@pytest.mark.parametrize("name", ERRORS)
async def test_whatever_a_task_raises_fails_its_own_job_only(run, store, name, kind):
    """MQ-09, M-16."""
    error = ERRORS[name]

    def plain():
        raise error

    async def coroutine():
        raise error

    job = await run(coroutine if kind == "coroutine" else plain)

    assert job.state == "failed"
    assert store.attempts(job.id) == ["error"]
    assert job.error
    assert len(job.error) < 70_000


async def test_the_error_holds_the_traceback_of_the_task_and_not_ours(run):
    def task():
        raise LookupError("where is it?")

    job = await run(task)

    assert "LookupError: where is it?" in job.error
    assert "test_outcomes.py" in job.error
    assert "/howdah/worker/" not in job.error


async def test_where_no_thread_can_be_had_a_job_is_tried_later_and_not_charged(
    app, store, eventually, monkeypatch
):
    @app.task(name="task")
    def task() -> None: ...

    def none_left(_):
        raise RuntimeError("can't start new thread")

    async with app.worker():
        with monkeypatch.context() as patch:
            patch.setattr(Threads, "_new_thread", none_left)
            job_id = await task.enqueue()
            await eventually(lambda: store.state(job_id) == "scheduled")
        waiting = store.job(job_id)
        store.do("select howdah.run_now(%s)", job_id)
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert waiting.attempt == 0
    assert "can't start new thread" in store.one("select error from howdah.attempts")


async def test_an_error_that_is_never_to_be_retried_fails_at_once(run, store):
    async def task():
        raise KeyError("gone")

    job = await run(task, retry=Retry(max_attempts=9, never=(LookupError,)))

    assert (job.state, job.attempt) == ("failed", 1)


class Unfriendly:
    __qualname__ = "a\x00b"


class HalfPydantic:
    def __init__(self, error):
        self._error = error

    def model_dump(self, *, mode):
        raise self._error


def _deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


RESULTS = {
    "object": object(),
    "nan": math.nan,
    "infinity inside": {"a": [math.inf]},
    "nul": "a\x00b",
    "nul in a key": {"a\x00b": 1},
    "surrogate": "a\ud800",
    "surrogate in a key": {"a\ud800": 1},
    "big integer": 10**5000,
    "too large": "x" * 2_000_000,
    "deep": _deep(5000),
    "a bit deep": _deep(70),
    "set of objects": {object()},
    "raw rubbish": msgspec.Raw(b"{not json"),
    "raw nul": msgspec.Raw(b'"\\u0000"'),
    "raw surrogate": msgspec.Raw(b'"\\ud800"'),
    "raw number": msgspec.Raw(b"1e999999"),
    "class": Unfriendly,
    "instance": Unfriendly(),
    "dump raises": HalfPydantic(RuntimeError("no")),
    "dump raises nul": HalfPydantic(ValueError("a\x00b\ud800")),
    "dump exits": HalfPydantic(SystemExit(1)),
    "generator": (n for n in range(3)),
}


@pytest.mark.parametrize("name", RESULTS)
async def test_a_result_that_cannot_be_stored_fails_its_own_job_and_says_so(run, store, name):
    """MQ-09."""

    async def task():
        return RESULTS[name]

    job = await run(task)

    assert job.state == "failed"
    assert "cannot be stored" in job.error
    assert store.attempts(job.id) == ["bad result"]


async def test_one_bad_outcome_does_not_hold_up_the_batch_it_is_in(app, store, eventually):
    """MQ-09."""

    @app.task(name="any")
    async def any_task(n: int):
        return msgspec.Raw(b"{not json") if n % 50 == 7 else n

    async with app.worker():
        ids = await app.enqueue_many([any_task.job(n) for n in range(500)])
        await eventually(lambda: store.states()["succeeded"] + store.states()["failed"] == 500)

    bad = {n for n, job_id in enumerate(ids) if store.state(job_id) == "failed"}
    assert bad == {n for n in range(500) if n % 50 == 7}


def test_a_batch_holds_no_more_than_can_be_stored_in_time():
    def outcome(**facts):
        return Succeeded(id=uuid4(), lease=uuid4(), **facts)

    many = [outcome(result="x" * 1_048_576) for _ in range(20)]
    mixed = [outcome(**{name: "x" * 4_194_304}) for name in ("result", "error", "cursor", "steps")]
    huge = [outcome(steps="x" * 20_000_000), outcome()]

    assert [len(part) for part in finisher._cut(many)] == [16, 4]
    assert [len(part) for part in finisher._cut([*mixed, outcome(error="!")])] == [4, 1]
    assert [len(part) for part in finisher._cut(huge)] == [1, 1]
    assert [len(part) for part in finisher._cut([outcome()] * 501)] == [500, 1]


async def test_what_is_too_much_to_be_stored_in_time_is_stored_a_few_at_a_time(
    app, store, eventually, monkeypatch
):
    @app.task(name="task")
    async def task(): ...

    many: list[int] = []
    real = Finisher._store

    async def slow(self, batch):
        many.append(len(batch))
        if len(batch) > 2:
            raise TimeoutError
        return await real(self, batch)

    monkeypatch.setattr(Finisher, "_store", slow)
    for _ in range(12):
        store.enqueue("task")
    async with app.worker():
        await eventually(lambda: store.states() == {"succeeded": 12})

    assert max(many) > 2


async def test_what_is_too_much_to_be_claimed_in_time_is_claimed_a_few_at_a_time(
    app, store, eventually, monkeypatch
):
    @app.task(name="task")
    async def task(): ...

    many: list[int] = []
    real = jobs.claim

    def slow(queues, n, **options):
        many.append(n)
        if n > 2:
            raise TimeoutError
        return real(queues, n, **options)

    monkeypatch.setattr(jobs, "claim", slow)
    for _ in range(12):
        store.enqueue("task")
    async with app.worker(slots=5):
        await eventually(lambda: store.states() == {"succeeded": 12})

    assert max(many) > 2


async def test_an_unknown_task_that_slips_through_goes_back_uncharged(app, store, eventually):
    job_id = store.enqueue("gone")
    worker = app.worker()
    worker.identity.tasks = ("gone",)  # it claims what it does not know

    async with worker:
        await eventually(lambda: store.state(job_id) == "scheduled")

    job = store.job(job_id)
    assert job.attempt == 0
    assert store.one("select %s - now() between interval '25 s' and interval '30 s'", job.run_at)
    assert store.attempts(job_id) == ["unknown task"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({}, "user_id"),
        ({"user_id": "42"}, "user_id"),
        ({"user_id": 1, "lang": 7}, "lang"),
        ({"user_id": 1, "colour": "red"}, "colour"),
    ],
)
async def test_bad_arguments_fail_at_once_and_name_the_argument(run, store, args, named):
    async def task(user_id: int, lang: str = "en"): ...

    job = await run(task, args=args, retry=Retry(max_attempts=5))

    assert (job.state, job.attempt) == ("failed", 1)
    assert named in job.error
    assert store.attempts(job.id) == ["bad arguments"]


@dataclasses.dataclass
class Picky:
    n: int

    def __post_init__(self):
        raise {0: KeyError, 1: ValueError, 2: SystemExit}[self.n]("a\x00b")


@pytest.mark.parametrize("n", [0, 1, 2])
async def test_arguments_whose_type_raises_fail_their_own_job_only(run, n):
    async def task(who: Picky): ...

    job = await run(task, args={"who": {"n": n}})

    assert job.state == "failed"


class Plain:
    """Neither JSON nor pydantic."""


async def test_arguments_of_a_type_that_json_cannot_make_fail_their_own_job_only(run):
    async def task(who: Plain): ...

    job = await run(task, args={"who": {}})

    assert job.state == "failed"


async def test_a_plain_function_may_return_a_coroutine(run):
    async def inner():
        return current().task

    def task():
        return inner()

    assert (await run(task)).result == "task"
