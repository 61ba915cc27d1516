"""A PostgreSQL of the run's own that can be stopped, killed, followed by a standby and replaced."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from chaos.proxy import Proxy
from chaos.world import NotHere
from howdah import embedded
from howdah.embedded import wire

if TYPE_CHECKING:
    from chaos.disk import Disk

NEMESIS = "chaos nemesis"  # our own sessions, which our own faults spare
SETTINGS = {  # as durable as PostgreSQL is by default; what is here makes the log tell more
    "max_connections": "150",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %q%a: ",
    "log_autovacuum_min_duration": "-1",
    "client_connection_check_interval": "5s",
    "recovery_init_sync_method": "syncfs",  # else each crash costs a sync of every file
    "checkpoint_timeout": "30s",  # and much to be replayed
}
START_TRIES = 8
SPACE = "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'small'"
TOLD = {  # what the log is searched for, by the name under which it is counted
    "deadlocks": "deadlock detected",
    "panics": "PANIC:",
    "crash_recoveries": "automatic recovery in progress",
    "terminated": "terminating connection due to administrator command",
    "cancelled": "canceling statement due to user request",
    "read_only": "in a read-only transaction",
    "denied": "permission denied for",
    "sync_wait_cancelled": "canceling wait for synchronous replication",
    "full_disk": "No space left on device",
    "lock_waits": "still waiting for",
    "corrupt": "invalid page|could not read blocks|unexpected data beyond EOF",
}


class Server:
    """A server on a data directory; `await start()` it, and at the end `await remove()` it."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder, self.settings = folder, {**SETTINGS, **(settings or {})}
        self._kept_log = folder.with_name(f"{folder.name}.log")
        self._running: embedded.Server | None = None
        self.disk: Disk | None = None  # on which its tables are, if that is a small one

    # Where it is

    @property
    def socket(self) -> Path:
        """Its Unix socket, for proxies to lead to."""
        return self._server.socket_dir / f".s.PGSQL.{wire.PORT}"

    @property
    def dsn(self) -> str:
        """Its database, by its own socket: past all proxies."""
        return self._server.dsn()

    @property
    def pid(self) -> int:
        """Its postmaster."""
        return self._server.pid

    @property
    def bindir(self) -> Path:
        """Where its programs are."""
        return embedded.find_binaries().bindir

    @property
    def _server(self) -> embedded.Server:
        assert self._running is not None, "the server has not been started"
        return self._running

    # Its life

    async def start(self) -> float:
        """Start it, trying again while leftovers of the last one are in the way.

        Gives the moment at which it took connections.
        """
        for left in reversed(range(START_TRIES)):
            self._keep_log()
            try:
                self._running = await asyncio.to_thread(
                    embedded.start, self.folder, settings=self.settings
                )
            except (embedded.StartFailed, embedded.Unusable):
                if not left:
                    raise
                await asyncio.sleep(0.25)
            else:
                break
        return time.monotonic()

    async def stop(self) -> None:
        """Stop it fast: sessions are ended, all is written."""
        await asyncio.to_thread(self._server.stop)

    async def end(self, number: signal.Signals) -> None:
        """End it: SIGQUIT as `pg_ctl -m immediate` does, SIGKILL as nobody should."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        await asyncio.to_thread(self._server.stop)

    async def remove(self) -> None:
        """Stop it and leave nothing behind, not even its log."""
        if self._running is not None:
            await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        if self.disk is not None:
            await asyncio.to_thread(self.disk.give_back, self.folder.name)
        for left in (self._kept_log, self.folder.with_name(f"{self.folder.name}.lock")):
            left.unlink(missing_ok=True)

    # What is asked of it as its superuser

    @asynccontextmanager
    async def session(self, name: str = NEMESIS, *, dsn: str | None = None) -> AsyncIterator[Any]:
        """A connection of asyncpg's, past all proxies and without waiting for standbys."""
        connection = await asyncpg.connect(
            dsn or self.dsn,
            timeout=10,
            command_timeout=60,
            server_settings={
                "application_name": name,
                "synchronous_commit": "local",
                "default_transaction_read_only": "off",
            },
        )
        try:
            yield connection
        finally:
            connection.terminate()

    async def answers(self, within: float) -> bool:
        """Whether it takes connections, or comes to take them in so many seconds."""
        until = time.monotonic() + within
        while True:
            try:
                await self.one("select 1")
            except asyncpg.TooManyConnectionsError:
                return True
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if time.monotonic() > until:
                    return False
                await asyncio.sleep(0.2)
            else:
                return True

    async def do(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        async with self.session() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def one(self, statement: str, *values: Any) -> Any:
        """The only column of the first row."""
        async with self.session() as connection:
            return await connection.fetchval(statement, *values)

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        """All rows."""
        async with self.session() as connection:
            return list(await connection.fetch(statement, *values))

    async def login(self, role: str) -> str:
        """The URL of an ordinary role, made if it is not there."""
        if not await self.one("select count(*) from pg_roles where rolname = $1", role):
            await self.do(f"create role {role} login")
        return self.dsn.replace(f"//{wire.USER}@", f"//{role}@")

    async def set(self, name: str, value: str | None) -> None:
        """Change a setting for all sessions, even where no writes are accepted; None resets it."""
        change = f"reset {name}" if value is None else f"set {name} = {value}"
        await self.do(f"alter system {change}", "select pg_reload_conf()")

    # Its log

    @property
    def log(self) -> str:
        """All that it has said, through all its restarts."""
        kept = self._kept_log.read_text(errors="replace") if self._kept_log.exists() else ""
        current = self.folder / "server.log"
        return kept + (current.read_text(errors="replace") if current.exists() else "")

    def told(self) -> dict[str, int]:
        """How often it has said what matters; `deadlocks` and `panics` among it."""
        log = self.log
        return {name: len(re.findall(words, log)) for name, words in TOLD.items()}

    def inherit(self, log: str) -> None:
        """Take over what the server before it has said."""
        own = self._kept_log.read_text(errors="replace") if self._kept_log.exists() else ""
        self._kept_log.write_text(log + own)

    def _keep_log(self) -> None:
        current = self.folder / "server.log"
        if current.exists():
            with self._kept_log.open("ab") as kept:
                kept.write(current.read_bytes())
            current.unlink()

    # Its standby

    async def standby(self, folder: Path, road: Proxy, name: str = "standby") -> Server:
        """A streaming copy of this server, which follows it over a road; started."""
        program = self.bindir / "pg_basebackup"
        if not program.exists():
            raise NotHere("this PostgreSQL comes without pg_basebackup")
        mapping = []
        if self.disk is not None:
            there = self.disk.space(folder.name)
            mapping = ["-T", f"{await self.one(SPACE)}={there}"]
        where = f"host={road.host} port={road.port} user={wire.USER} application_name={name}"
        process = await asyncio.create_subprocess_exec(
            program, "-d", f"{where} sslmode=disable gssencmode=disable", "-D", folder, "-R",
            "-X", "stream", "--checkpoint=fast", "--no-sync", *mapping,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        if process.returncode:
            if self.disk is not None:
                self.disk.give_back(folder.name)
            raise RuntimeError(f"pg_basebackup: {said.decode(errors='replace')}")
        for log in folder.glob("server.*"):  # the primary's, not its own
            log.unlink()
        standby = Server(folder, self.settings)
        standby.disk = self.disk
        await standby.start()
        return standby

    async def streams(self, name: str = "standby", *, sync: bool = False) -> bool:
        """Whether a standby follows, and if asked, whether commits wait for it."""
        state = await self.one(
            "select sync_state from pg_stat_replication "
            "where application_name = $1 and state = 'streaming'",
            name,
        )
        return state == "sync" if sync else state is not None

    async def promote(self) -> float:
        """Make a standby a primary; gives the moment at which it took writes."""
        if not await self.one("select pg_promote(true, 30)"):
            raise RuntimeError("the standby was not promoted within 30 s")
        while await self.one("select pg_is_in_recovery()"):
            await asyncio.sleep(0.01)
        return time.monotonic()

    def __repr__(self) -> str:
        return f"Server({self.folder.name})"
