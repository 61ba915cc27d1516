"""What the tests of outages share: servers of their own, and a path that can be cut or go dead."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from data_folders import lay_out

from howdah import embedded
from howdah.embedded import wire
from howdah.embedded.binaries import find_binaries


class Server:
    """A PostgreSQL of the test's own, that can be killed, changed and started again."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self._settings = {"max_connections": "50", "fsync": "off", **settings}
        self.start()

    def start(self) -> None:
        self.server = embedded.start(self.folder, settings=self._settings)
        self.dsn = self.server.dsn()

    async def started(self) -> float:
        """Start it again; the moment at which it took connections."""
        await asyncio.to_thread(self.start)
        return time.monotonic()

    def end(self, number: signal.Signals) -> None:
        """End it: SIGQUIT as `pg_ctl -m immediate` does it, SIGKILL as nobody should."""
        os.kill(self.server.pid, number)
        self.server.stop()

    def stop(self) -> None:
        self.server.stop()

    def do(self, *statements: str) -> None:
        """As its superuser, each in a transaction of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def set(self, name: str, value: str) -> None:
        """Change a setting for all sessions, from the next reload on."""
        self.do(f"alter system set {name} = {value}", "select pg_reload_conf()")

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def standby(self, folder: Path) -> Server:
        """A streaming standby of this server."""
        program = find_binaries().bindir / "pg_basebackup"
        if not program.exists():
            pytest.skip("this PostgreSQL comes without pg_basebackup")
        subprocess.run(
            [program, "-h", self.server.socket_dir, "-p", str(wire.PORT), "-U", wire.USER,
             "-D", folder, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"],
            check=True, capture_output=True,
        )  # fmt: skip
        return Server(folder, self._settings)

    def __repr__(self) -> str:
        return f"Server({self.folder.name})"


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Say what was measured: in the report, and (with -s or -rP) on the screen."""

    def say(what: str, value: float) -> None:
        record_property(what, round(value, 2))
        sys.stdout.write(f"\n{what}: {value:.2f}\n")

    return say


def dsn_of(*servers: Server) -> str:
    """One URL for several servers."""
    folders = ",".join(os.fspath(each.server.socket_dir) for each in servers)
    ports = ",".join(str(wire.PORT) for _ in servers)
    return f"postgresql://{wire.USER}@/{embedded.server.DATABASE}?host={folders}&port={ports}"


@pytest.fixture
def together() -> Callable[..., str]:
    """One URL for several servers."""
    return dsn_of


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Make a server with our schema: `servers(max_connections="20")`; after the test it is gone."""
    made: list[Server] = []

    def make(*, standby_of: Server | None = None, **settings: str) -> Server:
        folder = tmp_path / f"data{len(made)}"
        if standby_of:
            made.append(standby_of.standby(folder))
        else:
            lay_out(folder, schema=True)
            made.append(Server(folder, settings))
        return made[-1]

    yield make
    for each in reversed(made):
        each.stop()
        shutil.rmtree(each.folder)


@pytest.fixture
def server(servers: Callable[..., Server]) -> Server:
    """A server with the schema installed."""
    return servers()


class Road:
    """A TCP road to a server: open, or dead: it takes everything, passes nothing on, tells nobody.

    What was connected when it died stays dead, as on a network; the server keeps its end open.
    With `pooler` it refuses what PgBouncer refuses: settings at the start that it does not know.
    While there is a `refusal` nobody gets through: SQLSTATE and words, or nothing but a hang-up.
    """

    def __init__(self, dsn: str, *, pooler: bool = False) -> None:
        before, _, after = dsn.partition("@")
        query = dict(each.split("=") for each in after.partition("?")[2].split("&"))
        self._socket = f"{query['host']}/.s.PGSQL.{query['port']}"
        self._user, self._database = before, after.partition("?")[0].strip("/")
        self._pooler, self._open = pooler, True
        self.refusal: str | None = None
        self._roads: set[asyncio.Task[None]] = set()
        self._dead: set[asyncio.Task[None]] = set()
        self.connections: list[float] = []
        self.refused: list[set[bytes]] = []

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.dsn = f"{self._user}@127.0.0.1:{port}/{self._database}?sslmode=disable"

    def die(self) -> None:
        self._open, self._dead = False, {*self._roads}

    def come_back(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._listener.close()
        for road in self._roads:
            road.cancel()
        await asyncio.gather(*self._roads, return_exceptions=True)

    async def _connected(self, reader: Any, writer: Any) -> None:
        road = asyncio.current_task()
        assert road is not None
        self._roads.add(road)
        self.connections.append(time.monotonic())
        if self.refusal is not None:
            await reader.read(65536)
            writer.write(fatal(self.refusal) if self.refusal else b"")
            writer.close()
            self._roads.discard(road)
            return
        if not self._open:
            self._dead.add(road)
        there, back = await asyncio.open_unix_connection(self._socket)
        try:
            if self._pooler and not await self._accepts(reader, writer, back):
                return
            await asyncio.gather(self._pass(road, reader, back), self._pass(road, there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            back.close()
            writer.close()
            self._roads.discard(road)

    async def _accepts(self, reader: Any, writer: Any, back: Any) -> bool:
        first = await reader.read(65536)
        names = first[8:].split(b"\0")[::2]
        unknown = {*names} - {b"user", b"database", b"application_name", b"client_encoding", b""}
        if unknown:
            names = ",".join(name.decode() for name in sorted(unknown))
            writer.write(fatal(f"08P01 unsupported startup parameter: {names}"))
            await writer.drain()
            self.refused.append(unknown)
            return False
        back.write(first)
        return True

    async def _pass(self, road: asyncio.Task[None], reader: Any, writer: Any) -> None:
        while data := await reader.read(65536):
            if road in self._dead:
                continue
            writer.write(data)
            await writer.drain()
        if road in self._dead:
            await asyncio.Event().wait()
        writer.close()


def fatal(said: str) -> bytes:
    """What a server says before it hangs up: SQLSTATE and words."""
    code, _, words = said.partition(" ")
    refusal = f"SFATAL\0VFATAL\0C{code}\0M{words}\0\0".encode()
    return b"E" + (len(refusal) + 4).to_bytes(4, "big") + refusal


@pytest.fixture
async def road_to() -> AsyncIterator[Callable[..., Any]]:
    """Open a road: `road = await road_to(dsn)`, then use `road.dsn`."""
    opened: list[Road] = []

    async def open_(dsn: str, **options: Any) -> Road:
        opened.append(Road(dsn, **options))
        await opened[-1].open()
        return opened[-1]

    yield open_
    for road in opened:
        await road.close()
