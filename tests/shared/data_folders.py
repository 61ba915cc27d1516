"""Data folders of PostgreSQL, made once in a run and copied: initdb costs as much as ten tests."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import asyncpg
from once import made_once

from howdah import embedded
from howdah.embedded.sockets import socket_dir_of
from howdah.migrate import migrate

FAST = {"fsync": "off", "min_wal_size": "32MB"}


def lay_out(data_dir: Path, *, schema: bool = False) -> None:
    """Put a stopped server's data there, as its first start would leave them; or with our schema.

    To be called where no event loop runs.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    _copy(_with_schema() if schema else _empty(), data_dir)


def _empty() -> Path:
    def make(data_dir: Path) -> None:
        embedded.start(data_dir, settings=FAST).stop()
        socket_dir_of(data_dir).rmdir()

    return made_once("empty", make)


def _with_schema() -> Path:
    def make(data_dir: Path) -> None:
        _copy(_empty(), data_dir)
        asyncio.run(_install(data_dir))
        socket_dir_of(data_dir).rmdir()

    return made_once("with_schema", make)


async def _install(data_dir: Path) -> None:
    with embedded.start(data_dir, settings=FAST) as server:
        connection = await asyncpg.connect(server.dsn())
        await migrate(connection, "howdah")
        await connection.close()


def _copy(data_dir: Path, copy: Path) -> None:
    subprocess.run(["cp", "-a", data_dir, copy], check=True)
