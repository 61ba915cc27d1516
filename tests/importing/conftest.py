"""The systems that jobs come from, installed and filled by their own code, in another schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import procrastinate
import psycopg
import pytest
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver

from howdah import App

THEIRS = "theirs"


@pytest.fixture
def ran() -> list[Any]:
    """What our worker has run."""
    return []


@pytest.fixture
def ours(dsn: str, ran: list[Any]) -> App:
    """An app with the tasks that the jobs are of."""
    app = App(dsn)

    @app.task(name="shop.pay", queue="money")
    async def pay(n: int) -> None:
        ran.append(n)

    return app


@pytest.fixture
async def here(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
def their_schema(dsn: str) -> Iterator[str]:
    """An empty schema, which goes with the test."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"drop schema if exists {THEIRS} cascade; create schema {THEIRS}")
        yield THEIRS
        connection.execute(f"drop schema {THEIRS} cascade")


class Procrastinate:
    """An app of procrastinate on a database, with one task, and what its worker has run."""

    def __init__(self, dsn: str, schema: str) -> None:
        self.ran: list[int] = []
        connector = procrastinate.PsycopgConnector(
            conninfo=dsn, kwargs={"options": f"-c search_path={schema}"}
        )
        self.app = procrastinate.App(connector=connector)

        @self.app.task(name="shop.pay", queue="till")
        async def pay(n: int) -> None:
            self.ran.append(n)

        self.pay: Any = pay


@pytest.fixture
async def theirs(dsn: str, their_schema: str) -> AsyncIterator[Procrastinate]:
    """procrastinate, installed in the schema."""
    system = Procrastinate(dsn, their_schema)
    async with system.app.open_async():
        await system.app.schema_manager.apply_schema_async()
        yield system


@pytest.fixture
def old_jobs(dsn: str, their_schema: str) -> None:
    """Two jobs of the task old.pay and one of old.mail, where no event loop runs."""

    async def defer() -> None:
        system = Procrastinate(dsn, their_schema)
        async with system.app.open_async():
            await system.app.schema_manager.apply_schema_async()
            await system.app.configure_task("old.pay").batch_defer_async({"n": 1}, {"n": 2})
            await system.app.configure_task("old.mail").defer_async(to="ada")

    asyncio.run(defer())


class Pgqueuer:
    """pgqueuer on a connection of its own, with one entrypoint, and what its worker has run."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.ran: list[int] = []
        self.worker = PgQueuer(AsyncpgDriver(connection))
        self.queries: Any = self.worker.queries

        @self.worker.entrypoint("shop.pay")
        async def pay(job: Any) -> None:
            self.ran.append(json.loads(job.payload)["n"])

    async def pay(self, *numbers: int) -> None:
        """Enqueue a job of each number."""
        payloads = [json.dumps({"n": n}).encode() for n in numbers]
        await self.queries.enqueue(["shop.pay"] * len(numbers), payloads, [0] * len(numbers))


@pytest.fixture
async def queuer(dsn: str, their_schema: str) -> AsyncIterator[Pgqueuer]:
    """pgqueuer, installed in the schema."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": their_schema})
    system = Pgqueuer(connection)
    await system.queries.install()
    yield system
    await connection.close()
