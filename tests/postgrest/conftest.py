"""The bridge, and three roles that its requests name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest
from bridge import Api, Bridge, serving

from howdah.migrate import grant

ROLES = {"web": "producer", "worker": "worker", "viewer": "viewer"}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


@pytest.fixture
def api(own_dsn: str, port: int) -> Iterator[Api]:
    """The bridge on a database of the test's own, with roles web, worker and viewer."""
    roles = {name: f"{name}_{os.urandom(4).hex()}" for name in ROLES}
    with psycopg.connect(own_dsn, autocommit=True) as db:
        for role in roles.values():
            db.execute(f"create role {role} nologin")
        asyncio.run(_grant(own_dsn, roles))
        Bridge.dsn = own_dsn
        yield Api(port, roles)
        for role in roles.values():
            db.execute(f"drop owned by {role}; drop role {role}")


async def _grant(dsn: str, roles: dict[str, str]) -> None:
    connection = await asyncpg.connect(dsn)
    for name, kind in ROLES.items():
        await grant(connection, "howdah", roles[name], kind)
    await connection.close()
