"""PgBouncer between clients and server, in session or transaction mode; Debian's package."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from chaos.server import Server
from chaos.world import NotHere
from howdah.embedded import spawn, wire

ADMIN = "pgbouncer"
USERS = (wire.USER, ADMIN, "chaos_worker", "chaos_storm")
PROGRAMS = ("/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer")
READY_WITHIN = 5.0


class Pooler:
    """A PgBouncer in front of a server; `await start()` it, `await remove()` it at the end."""

    host = "127.0.0.1"

    def __init__(self, server: Server, mode: Literal["session", "transaction"]) -> None:
        self.program = _program()
        self.mode, self.port = mode, _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-pooler-"))
        self._launcher: subprocess.Popen[bytes] | None = None
        self._write(server)

    @property
    def dsn(self) -> str:
        """The database, by way of the pooler."""
        return f"postgresql://{wire.USER}@{self.host}:{self.port}/howdah?sslmode=disable"

    async def start(self) -> None:
        """Start it, as the server is started (it refuses to be root), until it answers."""
        command = [self.program, "-q", self.folder / "pgbouncer.ini"]
        self._launcher = spawn.launch("watch", self.folder, command, output=subprocess.DEVNULL)
        for _ in range(round(READY_WITHIN / 0.05)):
            try:
                await self.ask("show version")
            except psycopg.Error:
                await asyncio.sleep(0.05)
            else:
                return
        raise RuntimeError(f"pgbouncer does not answer: {self.log[-500:]}")

    async def restart_if_it_died(self) -> str | None:
        """Start it again when nobody has ended it; the last that it said, None if it is there."""
        if self._launcher is None or self._launcher.poll() is None:
            return None
        said = f"status {self._launcher.returncode}: {self.log[-500:]}"
        await self.start()
        return said

    async def kill(self) -> None:
        """SIGKILL: all its clients and sessions are gone."""
        if self._launcher is None:
            return
        for pid in _children(self._launcher.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        spawn.let_go(self._launcher)
        await asyncio.to_thread(self._launcher.wait, 10)
        self._launcher = None

    async def remove(self) -> None:
        """End it and leave nothing behind."""
        await self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def ask(self, command: str) -> list[dict[str, Any]]:
        """A command of its console: PAUSE, RESUME, RECONNECT, SHOW …"""
        where = f"host={self.host} port={self.port} user={ADMIN} dbname={ADMIN} sslmode=disable"
        connection = await psycopg.AsyncConnection.connect(
            where, autocommit=True, row_factory=dict_row, connect_timeout=5
        )
        try:
            found = await connection.execute(command)
            return await found.fetchall() if found.description else []
        finally:
            await connection.close()

    async def clients(self) -> int:
        """How many are connected."""
        return sum(row["database"] != ADMIN for row in await self.ask("show clients"))

    async def lead_to(self, server: Server) -> None:
        """Lead elsewhere, at once."""
        self._write(server)
        await self.ask("reload")
        await self.ask("reconnect")

    @property
    def log(self) -> str:
        """What it has said."""
        log = self.folder / "pooler.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _write(self, server: Server) -> None:
        users = self.folder / "users.txt"
        users.write_text("".join(f'"{user}" ""\n' for user in USERS))
        (self.folder / "pgbouncer.ini").write_text(
            f"""[databases]
* = host={server.socket.parent} port={wire.PORT}
[pgbouncer]
listen_addr = {self.host}
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = {ADMIN}
logfile = {self.folder}/pooler.log
log_connections = 0
log_disconnections = 0
pool_mode = {self.mode}
max_client_conn = 500
default_pool_size = 60
"""
        )


def _program() -> str:
    """PgBouncer; NotHere where it is not installed."""
    for path in PROGRAMS:
        if os.access(path, os.X_OK):
            return path
    raise NotHere("pgbouncer is not installed: apt-get install -y pgbouncer")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(each) for each in found.stdout.split()]
