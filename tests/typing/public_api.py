"""Uses the public API as a program would; the type checkers must agree with every line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

import psycopg
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from howdah import (
    App,
    AsyncClient,
    Client,
    Context,
    Job,
    Retry,
    Snooze,
    Task,
    current,
    jobs,
    on,
    queues,
    workers,
)
from howdah.call import Call
from howdah.client import AsyncDoor, SyncDoor
from howdah.outcome import Outcome

app = App("postgresql://…", schema="queue")


@app.task
async def send(user_id: int, *, lang: str = "en") -> str:
    return f"{user_id} {lang}"


@app.task(queue="mail", retry=Retry(max_attempts=5), timeout="30s", priority=7)
def count(path: str) -> int:
    return len(path)


@app.task
async def told(context: Context, user_id: int) -> Snooze | None:
    assert_type(context.job_id, UUID)
    assert_type(context.fence, UUID)
    assert_type(context.attempt, int)
    assert_type(context.deadline, datetime | None)
    assert_type(context.remaining, float | None)
    assert_type(context.cancelled, bool)
    await context.extend("5m")
    assert_type(context.extend(customer=1), Context)
    return Snooze("5m") if user_id else None


@app.task(name="asked")
async def asked(context: Context, *, user_id: int = 5) -> None: ...


@app.schedule("0 8 * * *")
@app.task(queue="mail")
async def report(day: int = 0) -> None: ...


@app.listen("user.created")
async def welcome(context: Context, event: dict[str, Any]) -> str:
    return context.queue


def tasks_keep_the_types_of_their_functions() -> None:
    assert_type(report.job(3), Job)
    assert_type(welcome.job({}), Job)
    assert_type(send.job(42, lang="mi"), Job)
    assert_type(count("x"), int)
    assert_type(count.options(delay="5m", unique_key="k", tags=["x"]).job("x"), Job)
    assert_type(send.enqueue_sync(42), UUID)
    assert_type(send.map_sync(range(9)), int)
    assert_type(app.enqueue_stream_sync([send.job(1)]), int)
    assert_type(send.name, str)
    checked: Task[[str], int] = count
    assert_type(checked("x"), int)


def the_worker_gives_the_context_and_a_caller_does_not() -> None:
    told.job(42)
    told.options(priority=1).job(user_id=42)
    asked.job(user_id=3)
    asked.job()


def wrong_arguments_are_seen_before_anything_runs() -> None:
    send.job("42")  # type: ignore[arg-type]
    send.job()  # type: ignore[call-arg]
    send.job(42, colour="red")  # type: ignore[call-arg]
    send.job(42, lang=5)  # type: ignore[arg-type]
    send.enqueue_sync("42")  # type: ignore[arg-type]
    count.options(queue="x").job(5)  # type: ignore[arg-type]
    told.job("42")  # type: ignore[arg-type]
    told.job()  # type: ignore[call-arg]
    count.options(priority="high")  # type: ignore[arg-type]
    count.options(colour="red")  # type: ignore[call-arg]
    app.task(queue=5)  # type: ignore[call-overload]
    Retry(max_attempts="5")  # type: ignore[arg-type]


async def an_app_answers_with_types() -> None:
    async with app:
        job_id = await app.enqueue(send.job(42))
        assert_type(job_id, UUID)
        assert_type(await app.enqueue_many([send.job(1), count.job("x")]), list[UUID])
        assert_type(await send.enqueue(42, lang="mi"), UUID)
        assert_type(await send.map([1, (2, "mi"), {"user_id": 3}], batch=10, progress=print), int)
        assert_type(await app.enqueue_stream(send.job(n) for n in range(9)), int)
        assert_type(await send(42), str)
        assert_type(await app.result(job_id, timeout=10), Any)
    async with app.worker(queues=["mail"], slots=100) as worker:
        worker.stop()
    await app.enqueue("send")  # type: ignore[arg-type]
    await send.enqueue("42")  # type: ignore[arg-type]


async def a_call_carries_the_type_of_its_answer(
    client: AsyncClient, job_id: UUID, lease: UUID
) -> None:
    assert_type(jobs.cancel(job_id), Call[bool])
    assert_type(await client.run(jobs.cancel(job_id)), bool)
    assert_type(await client.run(jobs.enqueue(send.job(1))), UUID)
    assert_type(await client.run(jobs.enqueue_many([send.job(1)])), list[UUID])
    assert_type(await client.run(jobs.claim(["mail"], n=1)), list[jobs.Claimed])
    assert_type(await client.run(jobs.ack(job_id, lease, {"a": 1})), None)
    assert_type(await client.run(jobs.nack(job_id, lease, "no", retry_in="5m")), str)
    assert_type(await client.run(jobs.extend(job_id, lease, "5m")), datetime)
    assert_type(await client.run(jobs.release(job_id, lease)), None)
    assert_type(await client.run(jobs.get(job_id)), jobs.Found | None)
    assert_type(await client.run(jobs.list(state="ready")), Sequence[jobs.Found])
    assert_type(await client.run(jobs.attempts(job_id)), list[jobs.Attempt])
    assert_type(await client.run(jobs.outcome(job_id)), jobs.End | None)
    assert_type(await client.run(jobs.why(job_id)), str)
    assert_type(await client.run(jobs.backlog()), int)
    assert_type(await client.run(queues.list()), Sequence[queues.Queue])
    assert_type(await client.run(queues.pause("mail")), bool)
    assert_type(await client.run(workers.list()), Sequence[workers.Worker])
    assert_type(await client.run(workers.running([job_id])), Sequence[workers.Running])
    assert_type(await client.run(workers.drain(name="x", version="0.1.0")), int)
    assert_type(await client.run(workers.kill(host="x", now=True)), int)
    await client.run(jobs.cancel("no id"))  # type: ignore[arg-type]


def a_sync_client_answers_with_the_same_types(client: Client, job_id: UUID) -> None:
    assert_type(client.run(jobs.cancel(job_id)), bool)
    assert_type(client.run(jobs.get(job_id)), jobs.Found | None)


async def a_bare_loop_of_ones_own_is_typed() -> None:
    for claimed in await app.run(jobs.claim(["mail"], n=10)):
        assert_type(claimed.lease, UUID)
        assert_type(claimed.timeout_ms, int | None)
        outcome = await app.perform(claimed)
        assert_type(outcome, Outcome)
        assert_type(await app.run(jobs.finish([outcome])), list[jobs.Refused])


def a_connection_that_does_not_await_has_verbs_that_do_not(
    connection: psycopg.Connection[Any], session: Session, engine_connection: Connection
) -> None:
    assert_type(on(connection), SyncDoor)
    assert_type(on(session), SyncDoor)
    assert_type(app.on(engine_connection), SyncDoor)
    assert_type(on(session).enqueue(send.job(1)), UUID)
    assert_type(on(session).run(jobs.cancel(UUID(int=0))), bool)


async def a_connection_that_awaits_has_verbs_that_await(
    connection: psycopg.AsyncConnection[Any],
    session: AsyncSession,
    engine_connection: AsyncConnection,
) -> None:
    assert_type(on(connection), AsyncDoor)
    assert_type(on(session), AsyncDoor)
    assert_type(app.on(engine_connection), AsyncDoor)
    assert_type(await on(session).enqueue_many([send.job(1)]), list[UUID])
    assert_type(await app.on(session).run(jobs.why(UUID(int=0))), str)


def a_connection_of_a_library_without_types_is_taken_on_trust(connection: Any) -> None:
    on(connection).enqueue(send.job(1))


def what_is_no_connection_is_seen_before_anything_runs() -> None:
    on("postgresql://…")  # type: ignore[call-overload]
    app.on(5)  # type: ignore[call-overload]


def the_context_of_the_moment_may_be_asked_for() -> None:
    context = current()
    assert_type(context, Context | None)


def a_found_job_has_typed_fields(found: jobs.Found) -> None:
    assert_type(found.timeout, timedelta | None)
    assert_type(found.finished_at, datetime | None)
    assert_type(found.tags, list[str] | None)
