"""Where a measurement was made: versions, the settings that matter, and the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from howdah.system import usable_cores

SETTINGS = (
    "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size",
    "wal_level", "autovacuum", "jit", "max_connections", "shared_preload_libraries",
)  # fmt: skip
DURABLE = {"fsync": {"on"}, "full_page_writes": {"on"}}
WAITS_FOR_DISK = {"on", "local", "remote_write", "remote_apply"}  # synchronous_commit


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """`load` is the machine's load average over a minute, before the measurement."""

    versions: dict[str, str | None]
    server: dict[str, str]
    durable: bool
    machine: dict[str, Any]
    load: float


async def surroundings(connection: Any) -> Surroundings:
    """What is to be known about this process, the server and the machine."""
    rows = await connection.fetch(
        "select name, current_setting(name) from pg_settings where name = any ($1)", [*SETTINGS]
    )
    server = {name: dict(map(tuple, rows)).get(name, "") for name in SETTINGS}
    return Surroundings(
        versions={
            "howdah": version("howdah"),
            "python": platform.python_version(),
            "asyncpg": version("asyncpg"),
            "uvloop": _version("uvloop"),
            "postgresql": await connection.fetchval("show server_version"),
        },
        server=server,
        durable=is_durable(server),
        machine={
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "usable_cores": usable_cores(),
        },
        load=os.getloadavg()[0],
    )


def is_durable(server: dict[str, str]) -> bool:
    """Whether what was committed is on disk, torn pages are mended, and commits wait for it."""
    waits = server.get("synchronous_commit") in WAITS_FOR_DISK
    return waits and all(server.get(name) in good for name, good in DURABLE.items())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
