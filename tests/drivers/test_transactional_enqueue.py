"""A job commits, or rolls back, with the caller's own data, whatever the driver."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import (
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

from howdah import App, BadInput, Job, TooLarge, jobs, on
from howdah.job import make_options


def count(db: psycopg.Connection) -> int:
    row = db.execute("select count(*) from howdah.jobs").fetchone()
    assert row is not None
    return int(row[0])


def backends(db: psycopg.Connection) -> set[int]:
    rows = db.execute(
        "select pid from pg_stat_activity where datname = current_database() "
        "and backend_type = 'client backend'"
    )
    return {int(row[0]) for row in rows}


async def settled(answer: Any) -> Any:
    return await answer if hasattr(answer, "__await__") else answer


async def test_a_rollback_leaves_nothing(kind: Any, db: psycopg.Connection) -> None:
    job_id = await settled(kind.door.enqueue(Job("mail.send", '{"user_id":1}')))
    await kind.rollback()

    assert type(job_id).__name__ == "UUID"
    assert count(db) == 0


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_stream_is_part_of_the_transaction(
    kind: Any, db: psycopg.Connection, end: str
) -> None:
    many = (Job("mail.send", f'{{"user_id":{n}}}') for n in range(25))

    streamed = await settled(kind.door.enqueue_stream(many, batch=10))
    before = count(db)
    await (kind.commit() if end == "commit" else kind.rollback())

    assert (streamed, before, count(db)) == (25, 0, 25 if end == "commit" else 0)


async def test_a_stream_stays_in_the_task_that_a_scoped_session_belongs_to(
    dsn: str, db: psycopg.Connection, eventually: Any
) -> None:
    before = backends(db)
    engine = create_async_engine(dsn.replace("postgresql:", "postgresql+asyncpg:"))
    session = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)

    await on(session).enqueue_stream((Job("t", "{}") for _ in range(25)), batch=10)
    await session.rollback()
    rolled_back = count(db)
    await session.remove()
    await engine.dispose()

    assert rolled_back == 0
    await eventually(lambda: backends(db) == before)


async def test_a_commit_leaves_one_job_which_nobody_saw_before(
    kind: Any, db: psycopg.Connection
) -> None:
    job_id = await settled(kind.door.enqueue(Job("mail.send", '{"user_id":1}')))
    before = count(db)
    await kind.commit()

    assert before == 0
    assert db.execute("select id, task, args from howdah.jobs").fetchall() == [
        (job_id, "mail.send", {"user_id": 1})
    ]


async def test_many_jobs_alike_roll_back_or_commit_together(
    kind: Any, db: psycopg.Connection
) -> None:
    many = [Job("t", f'{{"n":{n}}}') for n in range(50)]

    ids = await settled(kind.door.enqueue_many(many))
    before = count(db)
    await kind.commit()

    assert before == 0
    stored = {row[0]: row[1]["n"] for row in db.execute("select id, args from howdah.jobs")}
    assert [stored[job_id] for job_id in ids] == [*range(50)]


async def test_many_jobs_of_many_tasks_roll_back_or_commit_together(
    kind: Any, db: psycopg.Connection
) -> None:
    chosen = uuid4()
    many = [
        Job("a", "{}", make_options(id=chosen, timeout=0.5, delay="1h")),
        Job(
            "b",
            '{"x":"it\'s \\"ü\\" %s :v1 $1 {}"}',
            make_options(tags=["x y", 'a"b'], headers={"k": "%"}),
        ),
    ]

    ids = await settled(kind.door.enqueue_many(many))
    await kind.commit()

    assert ids[0] == chosen
    found = await kind.run(jobs.get(ids[1]))
    assert found is not None
    assert (found.args, found.tags) == ('{"x": "it\'s \\"ü\\" %s :v1 $1 {}"}', ["x y", 'a"b'])
    assert count(db) == 2


async def test_many_jobs_in_a_rolled_back_transaction_leave_nothing(
    kind: Any, db: psycopg.Connection
) -> None:
    await settled(kind.door.enqueue_many([Job("a", "{}"), Job("b", "{}")]))
    await settled(kind.door.enqueue_many([Job("a", "{}"), Job("a", "{}")]))
    await kind.rollback()

    assert count(db) == 0


async def test_every_option_of_a_job_arrives_as_it_was_given(
    kind: Any, db: psycopg.Connection
) -> None:
    moment = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    options = make_options(
        queue="日", priority=-7, run_at=moment, max_attempts=9, timeout="90s",
        delivery="at_most_once",
        id=uuid4(), unique_key="k", headers={"a": [1, None, "é"]}, tags=["x", "y z"],
    )  # fmt: skip

    job_id = await settled(kind.door.enqueue(Job("t", '{"a":1}', options)))
    found = await kind.run(jobs.get(job_id))
    await kind.commit()

    assert found is not None
    assert job_id == options.id
    assert (found.queue, found.priority, found.max_attempts) == ("日", -7, 9)
    assert (found.run_at, found.timeout) == (moment, timedelta(seconds=90))
    assert (found.delivery, found.unique_key, found.tags) == ("at_most_once", "k", ["x", "y z"])
    assert found.headers == '{"a": [1, null, "é"]}'
    assert found.args == '{"a": 1}'


def ours(db: psycopg.Connection) -> set[int]:
    """Backends in this database that serve a client or worker of ours."""
    found = db.execute(
        "select pid from pg_stat_activity"
        " where datname = current_database() and application_name like 'howdah%'"
    )
    return {pid for (pid,) in found}


async def test_no_connection_of_ours_is_opened_for_it(kind: Any, db: psycopg.Connection) -> None:
    before, ours_before = backends(db), ours(db)

    await settled(kind.door.enqueue(Job("t", "{}")))
    await settled(kind.door.enqueue_many([Job("a", "{}"), Job("b", "{}")]))
    await kind.run(jobs.list())
    after = backends(db)
    await kind.rollback()

    assert (
        len(after) <= len(before) + 1
    )  # Django and SQLAlchemy open the caller's own when first used
    assert ours(db) <= ours_before  # a worker of an earlier test may still be leaving


async def test_a_refusal_is_an_error_of_ours_with_what_to_do(
    kind: Any, db: psycopg.Connection
) -> None:
    with pytest.raises(BadInput) as refused:
        await settled(kind.door.enqueue(Job("", "{}")))
    await kind.rollback()

    assert refused.value.message == "a job needs a task name"
    assert refused.value.hint
    assert refused.value.hint.startswith("Nothing was enqueued.")
    assert count(db) == 0


async def test_a_batch_with_one_bad_job_leaves_none(kind: Any, db: psycopg.Connection) -> None:
    with pytest.raises(BadInput) as refused:
        await settled(kind.door.enqueue_many([Job("a", "{}"), Job("b", "[1]")]))
    await kind.rollback()

    assert "job 2 of the batch" in refused.value.message
    assert count(db) == 0


async def test_a_batch_alike_with_one_bad_job_leaves_none(
    kind: Any, db: psycopg.Connection
) -> None:
    with pytest.raises(BadInput):
        await settled(kind.door.enqueue_many([Job("a", "{}"), Job("a", "[1]")]))
    await kind.rollback()

    assert count(db) == 0


async def test_arguments_that_are_no_json_are_bad_input(kind: Any) -> None:
    with pytest.raises(BadInput):
        await settled(kind.door.enqueue(Job("t", "{not json")))
    await kind.rollback()


async def test_a_page_of_ten_thousand_and_one_jobs_is_refused_before_it_is_sent(kind: Any) -> None:
    with pytest.raises(TooLarge):
        await settled(kind.door.enqueue_many([Job("a", "{}")] * 10_001))

    assert await settled(kind.door.enqueue_many([])) == []
    await kind.commit()


async def test_an_app_gives_its_own_schema_to_the_connection(
    dsn: str, db: psycopg.Connection
) -> None:
    app = App(dsn, schema="elsewhere")
    with psycopg.connect(dsn) as connection:
        with pytest.raises(Exception, match="elsewhere"):
            app.on(connection).enqueue(Job("t", "{}"))
        connection.rollback()

    assert count(db) == 0


class Acquired:
    """Not a connection."""


@pytest.mark.parametrize("wrong", [None, "postgresql://", 5, Acquired(), object])
def test_what_is_no_connection_is_refused_with_what_would_be_one(wrong: object) -> None:
    app = App("postgresql://nowhere/none")

    with pytest.raises(BadInput) as refused:
        app.on(wrong)

    assert type(wrong).__name__ in refused.value.message
    assert refused.value.hint
    assert "asyncpg" in refused.value.hint
    assert "SQLAlchemy" in refused.value.hint


async def test_a_pool_or_an_engine_is_refused_because_it_has_no_transaction(dsn: str) -> None:
    import asyncpg
    from sqlalchemy import create_engine

    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))
    async with asyncpg.create_pool(dsn, min_size=0, max_size=1) as pool:
        for wrong in (pool, engine):
            with pytest.raises(BadInput):
                App(dsn).on(wrong)


def test_a_subclass_of_a_connection_is_known_as_one(dsn: str, db: psycopg.Connection) -> None:
    class Mine(psycopg.Connection[Any]):
        pass

    with Mine.connect(dsn) as connection:
        job_id = App(dsn).on(connection).enqueue(Job("t", "{}"))

    assert isinstance(job_id, UUID)
    assert count(db) == 1


@pytest.mark.parametrize("cursor", ["RawCursor", "ClientCursor", "ServerCursor"])
def test_a_connection_with_cursors_of_another_kind_enqueues(
    dsn: str, db: psycopg.Connection, cursor: str
) -> None:
    kind: Any = getattr(psycopg, cursor)
    with psycopg.connect(dsn, cursor_factory=kind, row_factory=dict_row) as connection:
        on(connection).enqueue(Job("t", "{}", make_options(tags=["x"])))

    assert count(db) == 1


@pytest.mark.parametrize("cursor", ["AsyncRawCursor", "AsyncClientCursor"])
async def test_an_awaited_connection_with_cursors_of_another_kind_enqueues(
    dsn: str, db: psycopg.Connection, cursor: str
) -> None:
    kind: Any = getattr(psycopg, cursor)
    async with await psycopg.AsyncConnection.connect(dsn, cursor_factory=kind) as connection:
        await on(connection).enqueue(Job("t", "{}", make_options(tags=["x"])))

    assert count(db) == 1


async def test_a_job_on_a_connection_goes_into_the_schema_of_the_app(own_dsn: str) -> None:
    import asyncpg

    from howdah.migrate import migrate

    connection = await asyncpg.connect(own_dsn)
    await migrate(connection, "elsewhere")
    app = App(own_dsn, schema="elsewhere")

    job_id = await app.on(connection).enqueue(Job("t", "{}"))
    await app.on(connection).enqueue_many([Job("a", "{}"), Job("b", "{}")])
    there = await connection.fetchval("select count(*) from elsewhere.jobs")
    here = await connection.fetchval("select count(*) from howdah.jobs")
    found = await app.on(connection).run(jobs.get(job_id))
    await connection.close()

    assert (there, here) == (3, 0)
    assert found is not None
