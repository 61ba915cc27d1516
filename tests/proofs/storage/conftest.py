"""What the proofs of storage share: servers as durable as by default, and roads to them."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from watching import eventually as _eventually

from chaos.disk import Disk
from chaos.proxy import Proxy
from chaos.server import Server
from howdah.migrate import migrate


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition, plain or awaited: `await eventually(lambda: …, within=5)`."""
    return _eventually


class Servers:
    """Makes servers, their disks and the roads to them; none is left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[Server] = []
        self._standbys = 0
        self._roads: list[Proxy] = []
        self._disks: list[Disk] = []

    async def primary(self, **settings: str) -> Server:
        """A new server, with an empty database; the schema is for `install`."""
        server = Server(self._folder / "server", settings)
        self._servers.append(server)
        await server.start()
        return server

    async def standby(self, primary: Server, link: Proxy) -> Server:
        """One that streams from it over a link."""
        self._standbys += 1
        folder = self._folder / f"standby{self._standbys}"
        self._servers.append(await primary.standby(folder, link))
        return self._servers[-1]

    def road(self, server: Server) -> Proxy:
        self._roads.append(Proxy(server.socket))
        return self._roads[-1]

    def disk(self) -> Disk:
        self._disks.append(Disk(self._folder / "disk", size="512m"))
        return self._disks[-1]

    async def remove(self, server: Server) -> None:
        self._servers.remove(server)
        await server.remove()

    async def close(self) -> None:
        for road in self._roads:
            road.close()
        for server in reversed(self._servers):
            await server.remove()
        for disk in self._disks:
            disk.close()
        left = [*self._folder.iterdir()]
        self._folder.rmdir()
        assert left == []


async def install(server: Server) -> None:
    """The schema."""
    async with server.session() as connection:
        await migrate(connection, "howdah")


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    """Make servers."""
    servers = Servers(Path(tempfile.mkdtemp(prefix="howdah-proof-")))
    yield servers
    await servers.close()


@pytest.fixture
def installed() -> Callable[[Server], Any]:
    """Install the schema: `await installed(server)`."""
    return install


@pytest.fixture
def together() -> Callable[..., str]:
    """One URL for several roads: whichever leads to a server that takes writes."""

    def url(*roads: Proxy) -> str:
        hosts = ",".join(f"{road.host}:{road.port}" for road in roads)
        return f"postgresql://howdah@{hosts}/howdah?sslmode=disable"

    return url


@pytest.fixture
def streaming() -> Callable[..., Any]:
    """Wait until a standby follows: `await streaming(primary, sync=True)`."""

    async def wait(primary: Server, *, sync: bool) -> None:
        if sync:
            await primary.set("synchronous_standby_names", "'standby'")
        await _eventually(lambda: primary.streams(sync=sync), within=30)

    return wait


@pytest.fixture
def replayed() -> Callable[..., Any]:
    """Wait until a standby has all that its primary has by now."""

    async def wait(primary: Server, standby: Server) -> None:
        there = await primary.one("select pg_current_wal_flush_lsn()::text")
        has_it = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
        await _eventually(lambda: standby.one(has_it, there), within=30)

    return wait


@pytest.fixture
async def session() -> AsyncIterator[Callable[..., Any]]:
    """A plain connection to a server, to be used by hand: `await session(server)`."""
    opened: list[Any] = []

    async def connect(server: Server) -> Any:
        opened.append(await asyncpg.connect(server.dsn))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.terminate()
