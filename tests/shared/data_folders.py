"""Data folders of PostgreSQL, made once in a run and copied: initdb costs as much as ten tests."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
from pathlib import Path

import asyncpg

from howdah import embedded
from howdah.embedded.sockets import socket_dir_of
from howdah.migrate import migrate

FAST = {"fsync": "off", "min_wal_size": "32MB"}


def lay_out(data_dir: Path, *, schema: bool = False) -> None:
    """Put a stopped server's data there, as its first start would leave them; or with our schema.

    To be called where no event loop runs.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    _copy(_made_once("with_schema" if schema else "empty"), data_dir)


def _made_once(kind: str) -> Path:
    """The folder that all processes of the run copy; the first one makes it."""
    of_the_run = Path(os.environ["HOWDAH_TEST_FOLDER"])
    made = of_the_run / kind
    with (of_the_run / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            workshop = of_the_run / f"{kind}.new"
            if kind == "with_schema":
                _copy(_made_once("empty"), workshop)
                asyncio.run(_install(workshop))
            else:
                embedded.start(workshop, settings=FAST).stop()
            socket_dir_of(workshop).rmdir()
            workshop.rename(made)
    return made


async def _install(data_dir: Path) -> None:
    with embedded.start(data_dir, settings=FAST) as server:
        connection = await asyncpg.connect(server.dsn())
        await migrate(connection, "howdah")
        await connection.close()


def _copy(data_dir: Path, copy: Path) -> None:
    subprocess.run(["cp", "-a", data_dir, copy], check=True)
