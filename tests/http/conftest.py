"""A real HTTP server on loopback, allow-listed; and a worker that calls URLs."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from serving import Server

from howdah import App
from howdah.settings import Settings
from howdah.worker import Worker


@pytest.fixture
def bare_server() -> Iterator[Server]:
    """A server that nobody has allowed."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(bare_server: Server, db: psycopg.Connection) -> Server:
    """A server that URL jobs may call."""
    db.execute("select howdah.http_allow(%s)", [bare_server.url()])
    return bare_server


@pytest.fixture
def calling(app: App, settings: Settings) -> Callable[..., Worker]:
    """Makes a worker that calls URLs: `async with calling(): …`."""

    def calling(**changes: Any) -> Worker:
        slots = changes.pop("slots", None)
        app.use(replace(settings, **{"http": True, "poll_every": 0.2, **changes}))
        return app.worker(slots=slots)

    return calling


@pytest.fixture
async def caller(calling: Callable[..., Worker]) -> AsyncIterator[Worker]:
    """A worker that calls URLs."""
    async with calling() as worker:
        yield worker


@pytest.fixture
def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
