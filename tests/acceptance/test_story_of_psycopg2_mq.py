"""A user of psycopg2_mq: an Echo worker, calls on a session, and a query of the job's state."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from howdah import App, NotFound, jobs


@pytest.fixture
def echo(app: App) -> Any:
    @app.task(name="echo.reverse", queue="Echo")
    def reverse(message: str) -> dict[str, str]:
        return {"reply": message[::-1]}

    return reverse


async def test_a_call_on_a_session_is_answered_by_the_echo_worker(
    app: App, dsn: str, echo: Any
) -> None:
    """M-12."""
    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))

    async with app.worker(queues=["Echo"], slots=4):
        with Session(engine) as session:
            job_id = app.on(session).enqueue(echo.job("hello"))
            session.commit()
        result = await app.result(job_id, timeout=10)
    engine.dispose()

    assert result == {"reply": "olleh"}


async def test_the_state_of_a_call_is_asked_on_the_same_session(
    app: App, dsn: str, echo: Any
) -> None:
    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))

    with Session(engine) as session:
        job_id = app.on(session).enqueue(echo.job("hello"))
        pending = app.on(session).run(jobs.get(job_id))
        session.commit()
    async with app.worker(queues=["Echo"]) as worker:
        await worker.idle()
    with Session(engine) as session:
        done = app.on(session).run(jobs.get(job_id))
        rows = session.execute(text("select state from howdah.jobs where queue = 'Echo'")).all()
    engine.dispose()

    assert (pending.state, pending.queue, pending.task) == ("ready", "Echo", "echo.reverse")
    assert (done.state, done.result) == ("succeeded", '{"reply": "olleh"}')
    assert [row.state for row in rows] == ["succeeded"]


async def test_a_call_by_name_needs_no_import_of_the_workers_code(
    app: App, dsn: str, echo: Any
) -> None:
    from howdah import Job
    from howdah.job import make_options

    async with app.worker(queues=["Echo"]):
        job_id = await app.enqueue(
            Job("echo.reverse", '{"message":"abc"}', make_options(queue="Echo"))
        )
        result = await app.result(job_id, timeout=10)

    assert result == {"reply": "cba"}


async def test_a_call_that_raises_is_failed_with_its_traceback_and_tried_again_by_hand(
    app: App,
) -> None:
    from howdah import JobFailed, Retry

    answers = iter([RuntimeError("out of order"), "fine"])

    @app.task(name="echo.break", queue="Echo", retry=Retry(max_attempts=1))
    def broken() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with app.worker(queues=["Echo"]):
        job_id = await broken.enqueue()
        with pytest.raises(JobFailed) as failed:
            await app.result(job_id, timeout=10)
        again = await app.run(jobs.retry(job_id))
        result = await app.result(job_id, timeout=10)

    assert "RuntimeError: out of order" in (failed.value.error or "")
    assert "Traceback" in (failed.value.error or "")
    assert (again, result) == (True, "fine")


async def test_a_call_that_is_not_there_is_a_lookup_error(app: App) -> None:
    from uuid import uuid4

    assert issubclass(NotFound, LookupError)
    with pytest.raises(LookupError):
        await app.result(uuid4(), timeout=5)
