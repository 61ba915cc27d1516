"""A store that cannot be used as it is: what is said, and what to do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest

from howdah import App, Client, Denied, HowdahError, Job, NoDatabase, ReadOnly, SchemaMismatch, jobs
from howdah.job import make_options
from howdah.settings import Settings


@pytest.fixture
def role(db: psycopg.Connection) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"role_{os.urandom(4).hex()}"
    db.execute(f"create role {name} login")
    yield name
    db.execute(f"drop owned by {name}")
    db.execute(f"drop role {name}")


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., App]]:
    """Apps that are closed at the end of the test."""
    apps: list[App] = []

    def make(*args: Any, **kwargs: Any) -> App:
        apps.append(App(*args, **kwargs))
        return apps[-1]

    yield make
    for app in apps:
        await app.close()


def as_role(dsn: str, role: str) -> str:
    before, _, after = dsn.partition("@")
    return f"{before.partition('://')[0]}://{role}@{after}"


async def test_where_nothing_is_configured_that_is_said_with_all_ways_to_do_so() -> None:
    client = Client(Settings())

    with pytest.raises(NoDatabase) as refused:
        client.run(jobs.list())
    client.close()

    assert "no database is configured" in refused.value.message
    assert refused.value.hint
    assert "DATABASE_URL" in refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:s3cret@127.0.0.1:1/none",
        "postgresql:///none?host=/nowhere/at/all",
        "postgresql://nobody:s3cret@127.0.0.1:99999/none",
        "postgresql://nobody:s3cret@127.0.0.1:five/none",
        "sqlite:///some.db",
        "nonsense",
    ],
)
async def test_where_nothing_answers_the_place_is_named_without_its_password(
    opened: Callable[..., App], url: str
) -> None:
    app = opened(url)

    with pytest.raises(NoDatabase) as refused:
        await app.enqueue(Job("t", "{}"))

    assert "s3cret" not in str(refused.value)
    assert refused.value.hint


async def test_a_database_that_does_not_exist_is_named(
    dsn: str, opened: Callable[..., App]
) -> None:
    app = opened(dsn.replace("/test_", "/not_there_"))

    with pytest.raises(NoDatabase) as refused:
        await app.enqueue(Job("t", "{}"))

    assert "not_there_" in refused.value.message
    assert refused.value.hint


async def test_a_role_that_does_not_exist_cannot_log_in(
    dsn: str, opened: Callable[..., App]
) -> None:
    app = opened(as_role(dsn, "not_there"))

    with pytest.raises(Denied) as refused:
        await app.enqueue(Job("t", "{}"))

    assert "not_there" in refused.value.message
    assert refused.value.hint


async def test_a_database_without_the_schema_says_how_to_install_it(
    empty_dsn: str, opened: Callable[..., App]
) -> None:
    app = opened(empty_dsn)

    with pytest.raises(SchemaMismatch) as refused:
        await app.enqueue(Job("t", "{}"))

    assert refused.value.hint == "Run: howdah db migrate"


async def test_another_schemas_name_is_told_in_the_error(
    dsn: str, opened: Callable[..., App]
) -> None:
    app = opened(dsn, schema="elsewhere")

    with pytest.raises(SchemaMismatch, match="elsewhere"):
        await app.enqueue(Job("t", "{}"))


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ("insert into _howdah.migration (number, name) values (9999, 'future')", "Upgrade"),
        ("delete from _howdah.migration where number >= 2", "migrate"),
    ],
    ids=["too new", "too old"],
)
async def test_a_schema_of_another_version_is_refused_with_who_must_move(
    own_dsn: str, opened: Callable[..., App], change: str, hint: str
) -> None:
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute(change)
    app = opened(own_dsn)

    with pytest.raises(SchemaMismatch) as refused:
        await app.enqueue(Job("t", "{}"))

    assert refused.value.hint
    assert hint in refused.value.hint


async def test_a_read_only_server_is_named_as_such_and_can_still_be_read(
    dsn: str, db: psycopg.Connection, opened: Callable[..., App]
) -> None:
    [job_id] = db.execute("select howdah.enqueue('t')").fetchone() or ()
    app = opened(f"{dsn}&options=-c%20default_transaction_read_only%3Don")

    for writing in (
        jobs.enqueue(Job("t", "{}")),
        jobs.enqueue_many([Job("t", "{}")]),
        jobs.enqueue(Job("t", "{}", make_options(unique_key="k"))),
        jobs.claim(),
        jobs.cancel(job_id),
    ):
        with pytest.raises(ReadOnly) as refused:
            await app.run(writing)
        assert refused.value.hint
    found = await app.run(jobs.list())

    assert [job.task for job in found] == ["t"]


async def test_a_role_without_any_grant_is_denied_with_how_to_grant(
    dsn: str, role: str, opened: Callable[..., App]
) -> None:
    app = opened(as_role(dsn, role))

    with pytest.raises(Denied) as refused:
        await app.enqueue(Job("t", "{}"))

    assert refused.value.hint
    assert "db grant" in refused.value.hint


async def test_a_producer_may_enqueue_and_wait_and_nothing_else(
    dsn: str, role: str, opened: Callable[..., App]
) -> None:
    import asyncpg

    from howdah.migrate import grant

    owner = await asyncpg.connect(dsn)
    await grant(owner, "howdah", role, "producer")
    await owner.close()
    app = opened(as_role(dsn, role))

    job_id = await app.enqueue(Job("t", "{}"))
    await app.enqueue_many([Job("t", "{}"), Job("u", "{}")])
    with pytest.raises(TimeoutError):
        await app.result(job_id, timeout=0.05)

    for denied in (jobs.claim(), jobs.cancel(job_id), jobs.list(), jobs.get(job_id)):
        with pytest.raises(Denied):
            await app.run(denied)


async def test_an_unusable_store_is_an_error_each_time_and_usable_once_it_is_mended(
    empty_dsn: str, opened: Callable[..., App]
) -> None:
    import asyncpg

    from howdah.migrate import migrate

    app = opened(empty_dsn)
    for _ in range(2):
        with pytest.raises(HowdahError):
            await app.enqueue(Job("t", "{}"))
    owner = await asyncpg.connect(empty_dsn)
    await migrate(owner, "howdah")
    await owner.close()

    await app.enqueue(Job("t", "{}"))

    assert len(await app.run(jobs.list())) == 1


async def test_a_url_as_sqlalchemy_writes_it_is_understood(
    dsn: str, opened: Callable[..., App]
) -> None:
    app = opened(dsn.replace("postgresql://", "postgresql+psycopg://"))

    await app.enqueue(Job("t", "{}"))

    assert len(await app.run(jobs.list())) == 1


async def test_a_pooler_that_can_prepare_nothing_is_served(
    dsn: str, opened: Callable[..., App]
) -> None:
    app = opened(dsn, prepare=False)

    ids = [await app.enqueue(Job("t", "{}")) for _ in range(3)]

    assert len(set(ids)) == 3
