"""The defects that runs plant still find what they break."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from chaos.defects import DEFECTS, plant

AUDIT = Path(__file__).parent.parent.parent / "chaos" / "audit.sql"
OF_THE_SERVER = ("alter system", "select pg_reload_conf")  # not for a server that tests share


@pytest.mark.parametrize("name", DEFECTS)
async def test_a_defect_can_be_planted_and_changes_something(dsn, name):
    connection = await asyncpg.connect(dsn)
    done = []

    async def execute(statement):
        if not statement.startswith(OF_THE_SERVER):
            await connection.execute(statement)
        done.append(statement)

    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(AUDIT.read_text())
        await plant(name, execute, connection.fetchval)
    finally:
        await transaction.rollback()
        await connection.close()

    assert done or name == "effect-outside"  # which the program does by itself
