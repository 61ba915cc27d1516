"""The fixtures of the pytest plugin, as the tests of a program use them."""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pytest

from howdah import App, Context, HowdahError, Retry, UnknownTask, on
from howdah.testing import Jobs


@pytest.fixture(scope="session")
def howdah_server() -> str:
    """That of this run, instead of one of the plugin's own."""
    return os.environ["HOWDAH_TEST_SERVER"].replace("DATABASE", "postgres")


@pytest.fixture
def ran() -> list[Any]:
    return []


@pytest.fixture
def mail(howdah_app: App, ran: list[Any]) -> Any:
    @howdah_app.task(name="mail", queue="mail")
    async def mail(to: str, *, lang: str = "en") -> str:
        ran.append(to)
        return lang

    return mail


async def test_what_was_enqueued_can_be_asked_for(jobs: Jobs, mail: Any) -> None:
    await mail.enqueue("ada", lang="mi")
    await mail.options(queue="slow").enqueue("bob")

    assert [job.queue for job in jobs.enqueued(mail)] == ["mail", "slow"]
    assert len(jobs.enqueued(mail, args={"to": "ada"})) == 1
    assert len(jobs.enqueued("mail", queue="slow", state="ready")) == 1
    assert not jobs.enqueued(mail, args={"to": "ada", "lang": "en"})
    assert not jobs.enqueued("another")


async def test_each_test_has_a_database_of_its_own(jobs: Jobs, howdah_db: str) -> None:
    assert jobs.enqueued() == []
    assert "howdah_test_" in howdah_db


async def test_all_runs_and_what_that_enqueues(
    howdah_app: App, jobs: Jobs, mail: Any, ran: list[Any]
) -> None:
    @howdah_app.task(name="all")
    def to_all(names: list[str]) -> None:
        for name in names:
            mail.enqueue_sync(name)

    await to_all.enqueue(["ada", "bob"])

    assert await jobs.run_all() == 3
    assert ran == ["ada", "bob"]
    assert [job.result for job in jobs.enqueued(mail, state="succeeded")] == ['"en"'] * 2


def test_where_there_is_no_loop_it_runs_all_the_same(jobs: Jobs, mail: Any, ran: list[Any]) -> None:
    mail.enqueue_sync("ada")
    assert jobs.run_all_sync() == 1
    mail.enqueue_sync("bob")
    assert jobs.run_all_sync() == 1
    assert ran == ["ada", "bob"]


async def test_time_is_moved_and_what_is_due_by_then_runs(
    jobs: Jobs, mail: Any, ran: list[Any]
) -> None:
    await mail.options(delay="2h").enqueue("ada")

    assert await jobs.run_all() == 0
    jobs.advance("1h")
    assert await jobs.run_all() == 0
    jobs.advance("1h")
    assert await jobs.run_all() == 1
    assert ran == ["ada"]


async def test_what_a_task_raises_is_raised_and_its_retries_go_on(
    howdah_app: App, jobs: Jobs
) -> None:
    @howdah_app.task(name="flaky", retry=Retry(first=10, jitter=0, max_attempts=2))
    def flaky() -> None:
        raise ValueError("no luck")

    await flaky.enqueue()

    with pytest.raises(ValueError, match="no luck"):
        await jobs.run_all()
    assert jobs.enqueued(flaky, state="scheduled")
    jobs.advance("11s")
    assert await jobs.run_all(raises=False) == 1
    assert jobs.enqueued(flaky, state="failed")


async def test_a_task_that_takes_too_long_fails_by_that(howdah_app: App, jobs: Jobs) -> None:
    @howdah_app.task(name="slow", timeout=0.05)
    async def slow() -> None:
        import asyncio

        await asyncio.sleep(60)

    await slow.enqueue()

    with pytest.raises(HowdahError, match="timed out"):
        await jobs.run_all()


async def test_transactional_tasks_commit_with_their_end(
    howdah_app: App, jobs: Jobs, howdah_db: str
) -> None:
    @howdah_app.task(name="book", delivery="transactional")
    async def book(ctx: Context) -> None:
        await ctx.connection.execute("create table booked ()")

    await book.enqueue()

    assert await jobs.run_all() == 1
    with psycopg.connect(howdah_db) as db:
        db.execute("table booked")
    assert jobs.enqueued(book, state="succeeded")


async def test_a_task_of_another_program_is_named(jobs: Jobs, howdah_db: str) -> None:
    with psycopg.connect(howdah_db) as db:
        db.execute("select howdah.enqueue('theirs')")

    with pytest.raises(UnknownTask, match="theirs"):
        await jobs.run_all()


async def test_a_circle_is_noticed(howdah_app: App, jobs: Jobs) -> None:
    @howdah_app.task(name="again")
    async def again() -> None:
        await again.enqueue()

    await again.enqueue()

    with pytest.raises(HowdahError, match="there are more"):
        await jobs.run_all(most=5)


async def test_inline_a_job_has_run_when_enqueue_returns(
    howdah_app: App, jobs: Jobs, mail: Any, ran: list[Any]
) -> None:
    with jobs.inline():
        job_id = await mail.enqueue("ada")
        await howdah_app.enqueue_many([mail.job("bob"), mail.job("cyd")])
    await mail.enqueue("dan")

    assert ran == ["ada", "bob", "cyd"]
    assert await howdah_app.result(job_id, timeout=5) == "en"


async def test_inline_streams_have_run_and_jobs_of_code_that_cannot_await(
    jobs: Jobs, mail: Any, ran: list[Any]
) -> None:
    with jobs.inline():
        assert await mail.map(["ada", "bob"]) == 2
        mail.enqueue_sync("cyd")
        assert mail.map_sync(["dan"]) == 1

    assert ran == ["ada", "bob", "cyd", "dan"]


async def test_jobs_on_the_callers_connection_wait_for_its_commit(
    jobs: Jobs, mail: Any, howdah_db: str
) -> None:
    with psycopg.connect(howdah_db) as db:
        on(db, schema="howdah").enqueue(mail.job("ada"))
        assert await jobs.run_all() == 0
    assert await jobs.run_all() == 1
