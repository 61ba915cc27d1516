"""A worker that starts where a server is there and cannot let it in yet: it waits and says so."""

from __future__ import annotations

import asyncio
import time

import pytest

from howdah import App, HowdahError
from howdah.events import DatabaseBack, DatabaseLost

FOR_A_WHILE = [
    "53300 sorry, too many clients already",
    "53200 out of memory",
    "57P03 the database system is starting up",
    "57014 canceling statement due to user request",
    "08P01 no more connections allowed (max_client_conn)",
    "08P01 the database system is starting up",
    "08P01 invalid server parameter",
    "",
]
FOR_GOOD = [
    "28P01 password authentication failed",
    '3D000 database "x" does not exist',
    "08P01 no such user",
]


@pytest.fixture
async def road(dsn, road_to):
    """A road to the test's database."""
    return await road_to(dsn)


@pytest.mark.parametrize("refusal", FOR_A_WHILE, ids=lambda said: said[:5] or "hangs up")
async def test_a_refusal_for_a_while_is_waited_for(road, store, eventually, seen, caplog, refusal):
    app, road.refusal = App(road.dsn, poll_every=0.1), refusal
    lost, back = seen(app, DatabaseLost), seen(app, DatabaseBack)

    starting = asyncio.create_task(app.worker().__aenter__())
    await eventually(lambda: len(lost) >= 4)
    was_waiting, road.refusal = not starting.done(), None
    worker = await asyncio.wait_for(starting, 5)
    left = store.one("select count(*) from howdah.workers")
    worker.stop()
    await worker.wait()

    (line, *_) = [each.getMessage() for each in caplog.records]
    waits = [event.again_in for event in lost[:4]]
    assert was_waiting
    assert left == 1
    assert refusal[6:] in line
    assert "next try in" in line
    assert len({*waits}) == 4  # by chance, so that a crowd does not knock in step
    assert 0.4 < waits[3] / 0.8 <= 1.0
    assert [event.loop for event in back] == ["start"]


async def test_the_line_says_for_how_long_and_comes_seldom(
    road, eventually, seen, caplog, monkeypatch
):
    app, road.refusal = App(road.dsn), FOR_A_WHILE[0]
    lost = seen(app, DatabaseLost)
    monkeypatch.setattr("howdah.worker.starting.SAID_AGAIN", 0.5)

    starting = asyncio.create_task(app.worker().__aenter__())
    await eventually(lambda: len(caplog.records) == 2)
    starting.cancel()
    await asyncio.wait({starting})

    first, second = (each.getMessage() for each in caplog.records)
    assert len(lost) > 2
    assert "so far" not in first
    assert "waiting for " in second
    assert " so far" in second


@pytest.mark.parametrize("refusal", FOR_GOOD, ids=lambda said: said[:5])
async def test_what_waiting_does_not_mend_ends_the_start_at_once(road, seen, refusal):
    app, road.refusal = App(road.dsn), refusal
    lost, began = seen(app, DatabaseLost), time.monotonic()

    with pytest.raises(HowdahError, match=refusal[6:]):
        await app.worker().__aenter__()

    assert lost == []
    assert time.monotonic() - began < 2


async def test_a_session_that_is_cut_while_the_worker_registers_is_outlived(
    dsn, store, store_of, eventually, seen
):
    app, other = App(dsn, poll_every=0.1), store_of(dsn)
    lost = seen(app, DatabaseLost)

    with store.connection.transaction():
        store.do("lock table _howdah.task in access exclusive mode")
        starting = asyncio.create_task(app.worker().__aenter__())
        await eventually(lambda: other.one(CUT))
        await eventually(lambda: lost)
    worker = await asyncio.wait_for(starting, 5)
    worker.stop()
    await worker.wait()

    assert {event.loop for event in lost} == {"start"}


CUT = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and application_name like 'howdah worker%%'
    and wait_event_type = 'Lock'
"""


async def test_a_worker_that_is_told_to_stop_waits_no_longer(road, eventually, seen):
    app, road.refusal = App(road.dsn), FOR_A_WHILE[0]
    lost, worker = seen(app, DatabaseLost), app.worker()

    starting = asyncio.create_task(worker.__aenter__())
    await eventually(lambda: lost)
    worker.stop()
    with pytest.raises(HowdahError, match="too many clients"):
        await asyncio.wait_for(starting, 4)
