"""The disk is full while workers work: nothing is lost, nobody leaves, nothing runs twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from chaos.disk import move_to
from chaos.world import NotHere

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
JOBS, SLOTS, RESULT = 400, 50, 20_000  # bytes: more than pages with room in them can take
LANDED_WITHIN = 10.0
STORED = "select (select count(*) from howdah.jobs where state = 'succeeded')"


@pytest.fixture
async def small(servers, installed):
    """A server all of whose tables are on a disk that can be filled."""
    server = await servers.primary(log_min_messages="error")
    try:
        disk = servers.disk()
    except NotHere as error:
        pytest.skip(f"NOT TESTED: {error}")
    await move_to(server, disk)
    await installed(server)
    return server, disk


@pytest.mark.parametrize("length", [5.0, 40.0], ids=["short", "longer than a lease"])
async def test_results_are_kept_until_there_is_room_and_none_of_it_runs_again(
    small, work, ledger, eventually, scaled, record, length
):
    server, disk = small
    if scaled(100) < 100 and length > 30:
        pytest.skip("at full scale only")
    worker = work(dsn=server.dsn, processes=2, slots=SLOTS)
    children = await worker.up()
    gate = ledger.gate("all")
    enqueue = "select howdah.enqueue('tell', jsonb_build_object('gate', $1::text, 'size', $2::int))"
    asked = [await server.one(enqueue, str(gate), RESULT) for _ in range(JOBS)]
    await eventually(lambda: len(ledger.starts()) >= 2 * SLOTS, within=20)

    disk.fill()
    gate.touch()
    full = time.monotonic()
    await eventually(lambda: server.told()["full_disk"], within=20)
    await asyncio.sleep(max(0.0, full + length - time.monotonic()))
    started = len(ledger.starts())
    states = Counter({r["state"]: r["n"] for r in await server.rows(
        "select state, count(*) as n from howdah.jobs group by state")})  # fmt: skip
    assert states["running"] + states["ready"] > 0
    disk.make_room()
    room = time.monotonic()
    kept = len(ledger.ends()) - states["succeeded"]  # ended, and not stored
    n = len(ledger.ends())
    await eventually(lambda: server.one(f"{STORED} >= $1", n), within=60)
    stored = time.monotonic() - room

    await eventually(lambda: server.one("select count(*) = 0 from _howdah.job"), within=60)
    rows = await server.rows("select id, state, attempt, crashes from howdah.jobs")
    record(
        "room on the disk to all results stored", [stored], LANDED_WITHIN,
        full_for=length, jobs=JOBS, kept=kept, started=started,
        refused=server.told()["full_disk"],
    )  # fmt: skip
    assert kept > 0
    assert {row["id"] for row in rows} == {*asked}
    assert {(row["state"], row["attempt"], row["crashes"]) for row in rows} == {("succeeded", 1, 0)}
    assert set(ledger.starts().values()) == {1}
    assert await server.one("select count(*) from howdah.attempts") == 0
    assert worker.children() == children
    assert worker.code is None
    assert await worker.stop() == 0
    assert stored < LANDED_WITHIN
