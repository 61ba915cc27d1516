"""Tasks, jobs and their options: checked where they enter; nothing has happened yet."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from howdah import App, BadInput, Cancel, Conflict, Fail, Job, Retry, Snooze
from howdah.job import make_options


@pytest.fixture
def app() -> App:
    return App("postgresql://nowhere.invalid/none")


async def send(user_id: int, *, lang: str = "en") -> str:
    """Send something."""
    return f"{user_id} {lang}"


def test_a_task_is_named_by_its_module_and_its_function(app: App) -> None:
    task = app.task(send)

    assert task.name == f"{send.__module__}.send"
    assert app.tasks == {task.name: task}


async def test_a_task_can_be_called_like_the_function_it_is(app: App) -> None:
    task = app.task(send)

    assert await task(1, lang="mi") == "1 mi"
    assert task.__doc__ == "Send something."
    assert inspect.signature(task) == inspect.signature(send)


def test_what_others_hang_on_a_function_does_not_get_into_the_task(app: App) -> None:
    """As tenacity does with `retry`."""

    def tried(n: int) -> None: ...

    vars(tried).update(retry="theirs", name="theirs", job="theirs", defaults=None)
    task = app.task(name="mine", retry=Retry(max_attempts=2))(tried)

    assert task.job(1).task == task.declaration()["name"] == "mine"
    assert task.retry.max_attempts == 2


def test_a_coroutine_function_runs_on_the_loop_and_any_other_in_a_thread(app: App) -> None:
    def plain() -> None: ...

    assert app.task(send).executor == "loop"
    assert app.task(name="plain")(plain).executor == "thread"


def test_one_name_cannot_be_declared_twice(app: App) -> None:
    app.task(name="mail")(send)

    def other() -> None: ...

    with pytest.raises(Conflict) as refused:
        app.task(name="mail")(other)
    again = app.task(name="mail", queue="slow")(send)

    assert refused.value.hint
    assert app.tasks["mail"] is again


@pytest.mark.parametrize("name", ["", "a*", "x" * 121, "a\x00", "\ud800"])
def test_a_name_that_cannot_be_stored_is_refused_at_the_declaration(app: App, name: str) -> None:
    with pytest.raises(BadInput):
        app.task(name=name)(send)

    assert app.tasks == {}


def test_a_function_within_a_function_is_named_by_the_way_to_it(app: App) -> None:
    def made_in_a_factory() -> None: ...

    task = app.task(made_in_a_factory)

    way = "test_a_function_within_a_function_is_named_by_the_way_to_it.made_in_a_factory"
    assert task.name == f"{__name__}.{way}"


def test_a_function_without_a_name_of_its_own_needs_one(app: App) -> None:
    with pytest.raises(BadInput, match="name"):
        app.task(lambda: None)

    assert app.task(name="known")(lambda: None).name == "known"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"delivery": "transactional"}, "psycopg"),
        ({"delivery": "transactional", "connection": "asyncpg"}, "psycopg"),
        ({"delivery": "transactional", "connection": "mysql"}, "asyncpg, psycopg"),
        ({"connection": "psycopg"}, "transactional"),
        ({"executor": "loop"}, "process"),
        ({"executor": "fork"}, "process"),
    ],
)
def test_what_a_plain_function_cannot_be_is_refused_with_what_it_can(
    app: App, wrong: dict[str, str], hint: str
) -> None:
    def resize() -> None: ...

    with pytest.raises(BadInput) as refused:
        app.task(name="resize", **wrong)(resize)

    assert refused.value.hint
    assert hint in refused.value.hint


def test_a_coroutine_function_gets_asyncpg_and_no_django(app: App) -> None:
    async def pay() -> None: ...

    task = app.task(name="pay", delivery="transactional")(pay)

    assert task.connection == "asyncpg"
    with pytest.raises(BadInput, match="plain function"):
        app.task(name="other", delivery="transactional", connection="django")(pay)


def test_making_a_job_does_nothing_but_make_a_value(app: App) -> None:
    task = app.task(send)

    job = task.job(42, lang="mi")

    assert job == Job(task.name, '{"user_id":42,"lang":"mi"}', job.options)
    assert task.job(42, lang="mi") == job


def test_what_a_task_declares_goes_with_its_jobs_whether_or_not_a_worker_has_ever_run(
    app: App,
) -> None:
    task = app.task(
        queue="mail", priority=3, timeout="2m", delivery="at_most_once", retry=Retry(max_attempts=7)
    )(send)

    options = task.job(1).options

    assert (options.queue, options.priority, options.timeout) == ("mail", 3, 120.0)
    assert (options.delivery, options.max_attempts) == ("at_most_once", 7)


def test_what_a_job_says_wins_over_what_its_task_declares(app: App) -> None:
    task = app.task(queue="mail", priority=3, timeout="2m")(send)

    changed = task.options(queue="slow", priority=0, no_timeout=True).job(1).options
    back = task.options(no_timeout=True).options(timeout=5).job(1).options

    assert (changed.queue, changed.priority, changed.timeout, changed.no_timeout) == (
        "slow",
        0,
        None,
        True,
    )
    assert (back.timeout, back.no_timeout) == (5, False)


def test_options_are_added_to_those_before_and_leave_the_task_as_it_was(app: App) -> None:
    task = app.task(send)

    changed = task.options(queue="slow").options(priority=7, delay="5m")

    assert changed.job(1).options == make_options(queue="slow", priority=7, delay=300)
    assert task.job(1).options == make_options()
    assert changed.name == task.name


def test_the_later_of_delay_and_run_at_wins_when_options_are_added(app: App) -> None:
    task, moment = app.task(send), datetime(2030, 1, 1, tzinfo=UTC)

    at = task.options(delay=5).options(run_at=moment).job(1).options
    after = task.options(run_at=moment).options(delay=5).job(1).options

    assert (at.run_at, at.delay) == (moment, None)
    assert (after.run_at, after.delay) == (None, 5)


def test_jobs_of_one_task_share_their_options_so_that_batches_are_quick(app: App) -> None:
    task = app.task(queue="mail")(send)

    assert task.job(1).options is task.job(2).options


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"priority": 2**31}, "priority"),
        ({"priority": -(2**31) - 1}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 10_001}, "max_attempts"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 0.0001}, "timeout"),
        ({"timeout": "2w", "no_timeout": True}, "no_timeout"),
        ({"timeout": 400 * 86400}, "timeout"),
        ({"delay": 11 * 366 * 86400}, "delay"),
        ({"delay": -1}, "duration"),
        ({"run_at": datetime(2030, 1, 1)}, "time zone"),  # noqa: DTZ001
        ({"run_at": datetime(2030, 1, 1, tzinfo=UTC), "delay": 1}, "run_at"),
        ({"delivery": "exactly_once"}, "at_least_once"),
        ({"queue": ""}, "queue"),
        ({"queue": "a*"}, "queue"),
        ({"queue": "x" * 121}, "queue"),
        ({"queue": "a\x00"}, "queue"),
        ({"queue": "\ud800"}, "queue"),
        ({"unique_key": ""}, "unique_key"),
        ({"unique_key": "é" * 101}, "unique_key"),
        ({"unique_key": "\x00"}, "unique_key"),
        ({"tags": ["x"] * 33}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"tags": "urgent"}, "tags"),
        ({"tags": 5}, "tags"),
        ({"after": UUID(int=1)}, "after"),
        ({"after": 5}, "after"),
        ({"limit_keys": 5}, "limit_keys"),
        ({"serial_key": "\ud800"}, "key"),
        ({"headers": {"a": object()}}, "headers"),
        ({"headers": {"a": "\x00"}}, "headers"),
        ({"headers": {"a": float("nan")}}, "headers"),
        ({"headers": {"a": "\ud800"}}, "headers"),
        ({"headers": {"a": "x" * 70_000}}, "headers"),
        ({"headers": [1]}, "headers"),
        ({"priority": "high"}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"max_attempts": "3"}, "max_attempts"),
        ({"id": "not-an-id"}, "id"),
        ({"queue": 5}, "queue"),
        ({"unique_key": 5}, "unique_key"),
        ({"run_at": "2030-01-01"}, "run_at"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_option_that_cannot_be_stored_is_refused_where_it_is_given(
    app: App, wrong: dict[str, Any], named: str
) -> None:
    task = app.task(send)

    with pytest.raises(BadInput) as refused:
        task.options(**wrong)

    assert named in refused.value.message


def test_the_limits_themselves_are_allowed(app: App) -> None:
    task = app.task(send)

    options = task.options(
        priority=-(2**31), max_attempts=10_000, timeout=0.001, delay=0, queue="日" * 120,
        unique_key="é" * 100, tags=["x" * 120] * 32, id=uuid4(), headers={"a": {"b": [1, None]}},
    ).job(1).options  # fmt: skip

    assert options.priority == -(2**31)
    assert options.tags == ("x" * 120,) * 32


@pytest.mark.parametrize(
    "wrong",
    [{"timeout": 0}, {"queue": "*"}, {"priority": 2**31}, {"delivery": "maybe"}, {"retry": 5}],
)
def test_a_declaration_is_refused_like_an_option(app: App, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        app.task(**wrong)(send)

    assert app.tasks == {}


def test_the_declaration_says_what_the_store_is_to_know(app: App) -> None:
    task = app.task(
        name="mail.send", queue="mail", timeout=timedelta(seconds=2.5),
        retry=Retry(max_attempts=5, first="2s", factor=3, longest="1m", jitter=0),
    )(send)  # fmt: skip

    said = task.declaration()

    assert {key: said[key] for key in ("name", "queue", "timeout_ms", "max_attempts")} == {
        "name": "mail.send", "queue": "mail", "timeout_ms": 2500, "max_attempts": 5,
    }  # fmt: skip
    assert (said["first_ms"], said["factor"], said["longest_ms"], said["jitter"]) == (
        2000,
        3,
        60000,
        0,
    )


def test_a_word_of_a_task_keeps_what_it_says() -> None:
    assert Snooze("5m").delay == 300
    assert Cancel("gone").reason == "gone"
    with pytest.raises(BadInput):
        Snooze(-1)
    with pytest.raises(BadInput, match="ten years"):
        Snooze(timedelta(days=3601))


def test_a_word_takes_an_exception_or_anything_else_for_its_reason() -> None:
    assert Fail(ValueError("no such city")).reason == "ValueError: no such city"
    assert Cancel(404).reason == "404"  # type: ignore[arg-type]


@pytest.mark.parametrize("executor", [None, "process"])
def test_what_only_yields_is_no_task(app: App, executor: str | None) -> None:
    def plain() -> Iterator[int]:
        yield 1

    async def coroutine() -> AsyncIterator[int]:
        yield 1

    for function in (plain, coroutine):
        with pytest.raises(BadInput, match="yields"):
            app.task(name="rows", executor=executor)(function)


def test_a_worker_in_the_foreground_wants_no_running_loop(app: App) -> None:
    async def in_a_loop() -> None:
        app.run_worker()

    with pytest.raises(Conflict, match="event loop"):
        asyncio.run(in_a_loop())
