"""The pytest plugin: `howdah_db`, `howdah_app` and `jobs`, on an embedded PostgreSQL of the run.

Only what a test asks for is started. An own server instead of the embedded one: override the
fixture `howdah_server` with one that gives its URL. Which app: `howdah_app = package.module:app` in
pytest's settings, else HOWDAH_APP and [tool.howdah]; without either, an empty one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from howdah.app import App
    from howdah.testing.jobs import Jobs

QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
TEMPLATE = "howdah_template"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our lines in pytest's settings."""
    parser.addini("howdah_app", "the app under test, as package.module:name")
    parser.addini("howdah_mode", "manual: jobs run when told to; inline: at once", default="manual")


@pytest.fixture(scope="session")
def howdah_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server on which databases may be made: an embedded PostgreSQL of this run."""
    from howdah import embedded

    folder = Path(tmp_path_factory.mktemp("howdah"))
    with embedded.start(folder / "data", settings=QUICK) as server:
        yield server.dsn()


@pytest.fixture(scope="session")
def _howdah_template(howdah_server: str) -> Iterator[str]:
    """A database with the schema, from which those of the tests are copied."""
    from howdah.migrate import migrate
    from howdah.settings import load

    name = f"{TEMPLATE}_{uuid4().hex[:8]}"
    schema = load().settings.schema
    _on(howdah_server, lambda c: c.execute(f"create database {name}"))
    _on(_to(howdah_server, name), lambda c: migrate(c, schema))
    yield name
    _on(howdah_server, lambda c: c.execute(f"drop database {name} with (force)"))


@pytest.fixture
def howdah_db(howdah_server: str, _howdah_template: str) -> Iterator[str]:
    """The URL of a database of this test's own, with the schema and nothing in it."""
    name = f"howdah_test_{uuid4().hex[:12]}"
    _on(howdah_server, lambda c: c.execute(f"create database {name} template {_howdah_template}"))
    yield _to(howdah_server, name)
    _on(howdah_server, lambda c: c.execute(f"drop database {name} with (force)"))


@pytest.fixture
def howdah_app(howdah_db: str, request: pytest.FixtureRequest) -> Iterator[App]:
    """The app under test, on this test's database. May be overridden with one that gives an App:
    `jobs` puts that on this test's database, too.
    """
    from howdah.app import App
    from howdah.settings import load
    from howdah.source import load_app

    named = request.config.getini("howdah_app") or load().settings.app
    with _put_on(howdah_db, load_app(named) if named else App()) as app:
        yield app


@contextmanager
def _put_on(url: str, app: App) -> Iterator[App]:
    from dataclasses import replace

    before = app.settings
    if before.database_url == url:
        yield app
        return
    app.use(replace(before, database_url=url, listen_url=None, env="test"))
    yield app
    app.sync_client.close()
    app.use(before)


@pytest.fixture
def jobs(howdah_app: App, howdah_db: str, request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """What was enqueued: `jobs.enqueued(…)`, `await jobs.run_all()`, `jobs.advance("2h")`."""
    from howdah.testing.jobs import Jobs

    found = Jobs(howdah_app)
    inline = request.config.getini("howdah_mode") == "inline"
    with _put_on(howdah_db, howdah_app), found.inline() if inline else nullcontext():
        yield found


def _to(server: str, database: str) -> str:
    parts = urlsplit(server)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{database}{query}"


def _on(url: str, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
    """Do something on a connection, in a thread: a test's loop may be running here."""
    from concurrent.futures import ThreadPoolExecutor

    from howdah.connect import open_connection
    from howdah.settings import Settings

    async def connected() -> None:
        connection = await open_connection(Settings(database_url=url), name="howdah tests")
        try:
            await work(connection)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, connected()).result()
