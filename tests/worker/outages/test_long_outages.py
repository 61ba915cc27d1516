"""Outages that take their time: `pytest -m slow tests/worker`, with -s for the figures."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections import Counter
from uuid import uuid4

import pytest

from howdah import App, DatabaseError, HowdahError, Job
from howdah.events import DatabaseLost, LeaseRefused
from howdah.job import make_options

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_minute_without_the_database_makes_nothing_run_again(
    server, work, ledger, store_of, eventually, figure
):
    """Two workers, whose jobs end before, during and after the minute; leases of 5 s."""
    store = store_of(server.dsn)
    lengths = (0.5, 20.0, 75.0)
    ids = [
        store.enqueue("hold", {"first": first}, no_timeout=True)
        for first in lengths
        for _ in range(20)
    ]
    workers = [work(server.dsn, lost_after=5.0, slots=40) for _ in range(2)]
    await eventually(lambda: len(ledger.starts()) == 60)

    await asyncio.to_thread(server.stop)
    down = time.monotonic()
    await eventually(lambda: time.monotonic() > down + 60, within=70)
    back = await server.started()
    store = store_of(server.dsn)
    await eventually(lambda: store.states()["succeeded"] == 40, within=15)
    stored = time.monotonic() - back
    await eventually(lambda: store.states() == {"succeeded": 60}, within=30)

    figure("seconds until the results of the minute were stored", stored)
    assert stored < 10
    assert all(worker.running for worker in workers)
    assert ledger.starts() == dict.fromkeys(ids, 1)
    assert store.one("select count(*) from howdah.attempts") == 0
    assert {store.job(job_id).crashes for job_id in ids} == {0}


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate", "kill -9"])
async def test_after_a_crash_of_the_server_claims_go_on_in_five_seconds_and_nothing_is_lost(
    server, work, ledger, store_of, eventually, figure, number
):
    """Two workers under a steady producer that asks again, by the same id, what is not certain."""
    workers = [work(server.dsn, poll_every=1.0, slots=10) for _ in range(2)]
    app, stored, done = App(server.dsn), [], asyncio.Event()
    await eventually(lambda: store_of(server.dsn).one(WORKERS) == 2)
    producer = asyncio.create_task(produce(app, stored, done))

    for _ in range(5):
        enough = len(stored) + 50
        await eventually(lambda enough=enough: len(stored) > enough, within=30)
        await asyncio.to_thread(server.end, number)
        back = await server.started()
        first = store_of(server.dsn).enqueue("hold")
        await eventually(lambda first=first: ledger.starts()[first] == 1, within=15)
        figure(f"seconds until the first claim after {number.name}", time.monotonic() - back)
        assert time.monotonic() - back < 5
        stored.append(first)
    done.set()
    await producer
    await app.close()

    store = store_of(server.dsn)
    await eventually(lambda: store.states() == {"succeeded": len(stored)}, within=30)
    figure("jobs that were stored", len(stored))
    assert all(worker.running for worker in workers)
    assert {*ledger.starts()} == {*stored}
    assert {*ledger.starts().values()} == {1}
    assert store.one("select count(*) from howdah.attempts where outcome <> 'released'") == 0


WORKERS = "select count(*) from howdah.workers"


async def produce(app, stored, done):
    while not done.is_set():
        job = Job("hold", '{"first": 0.05}', make_options(id=uuid4()))
        while True:
            try:
                stored.append(await app.enqueue(job))
                break
            except HowdahError:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("length", [3.0, 30.0])
async def test_after_a_dead_path_every_loop_goes_on_in_fifteen_seconds(
    server, road_to, store_of, eventually, seen, figure, length
):
    """Packets vanish and nobody is told, on a path whose ends acknowledge: the worst kind."""
    road, store = await road_to(server.dsn), store_of(server.dsn)
    app, ran, go = App(road.dsn, lost_after=120.0), Counter(), asyncio.Event()
    refused = seen(app, LeaseRefused)

    @app.task(name="job")
    async def job(n: int):
        ran[n] += 1
        await go.wait()

    async with app, app.worker() as worker:
        await app.enqueue_many([job.job(n) for n in range(10)])
        await eventually(lambda: len(ran) == 10)
        await eventually(worker._parts.listener.up.is_set)
        road.die()
        went = time.monotonic()
        go.set()
        asked = asyncio.create_task(enqueued(app, job.job(11)))
        store.enqueue("job", {"n": 10})  # by another path
        await eventually(lambda: time.monotonic() > went + length, within=length + 5)
        beat = store.one(BEAT)
        road.come_back()
        back = time.monotonic()
        after = {}

        async def goes_on(name, condition):
            await eventually(condition, within=25)
            after[name] = time.monotonic() - back

        await asyncio.gather(
            goes_on("finisher", lambda: store.one(FINISHED) == 10),
            goes_on("looker", lambda: store.one(BEAT) > beat),
            goes_on("fetcher", lambda: ran[10] == 1),
            goes_on("listener", lambda: listens_anew(store, worker, went)),
            goes_on("client", asked.done),
        )
        await eventually(lambda: store.states() == {"succeeded": 12})

    for name, took in after.items():
        figure(f"seconds after {length:g} s of silence, {name}", took)
    assert max(took for name, took in after.items() if name != "client") < 15
    assert asked.result() < 25
    assert set(ran.values()) == {1}
    assert refused == []


FINISHED = "select count(*) from howdah.jobs where state = 'succeeded' and (args ->> 'n')::int < 10"
BEAT = "select max(beat_at) from _howdah.worker"


def listens_anew(store, worker, went):
    since = store.one(
        "select extract(epoch from clock_timestamp() - max(backend_start))::float8"
        " from pg_stat_activity where application_name = 'howdah listener'"
    )
    return worker.status()["listening"] and since < time.monotonic() - went


async def enqueued(app, job):
    """Until it is; how long a call took at most."""
    longest = 0.0
    while True:
        began = time.monotonic()
        try:
            await app.enqueue(job)
        except DatabaseError:
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.1)
        else:
            return max(longest, time.monotonic() - began)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 32 MB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs", os.fspath(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: to fill a disk takes root, who may mount a small one")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_costs_nothing_but_time(
    server, small_disk, store_of, eventually, seen, figure
):
    """All tables are on a disk that fills up while jobs run; their results need room."""
    folder = small_disk / "space"
    folder.mkdir(mode=0o700)
    other = store_of(server.dsn.replace("/howdah?", "/postgres?"))
    other.do(f"create tablespace small location '{folder}'")
    other.do("alter database howdah set tablespace small")
    app, ran, go = App(server.dsn), Counter(), asyncio.Event()
    lost, refused = seen(app, DatabaseLost), seen(app, LeaseRefused)

    @app.task(name="job")
    async def job(n: int):
        ran[n] += 1
        await go.wait()
        return os.urandom(20_000).hex()

    async with app, app.worker():
        await app.enqueue_many([job.job(n) for n in range(50)])
        await eventually(lambda: len(ran) == 50)
        ballast = small_disk / "ballast"
        fill(ballast)
        go.set()
        await eventually(lambda: [e for e in lost if e.loop == "finisher"], within=20)
        store = store_of(server.dsn)
        full = time.monotonic()
        await eventually(lambda: time.monotonic() > full + 10, within=15)
        assert store.states()["running"] > 0
        ballast.unlink()
        room = time.monotonic()
        await eventually(lambda: store.states() == {"succeeded": 50}, within=15)
        took = time.monotonic() - room

    figure("seconds until all was stored, once there was room", took)
    assert took < 10
    assert "53100" in {getattr(event.error, "sqlstate", None) for event in lost}
    assert set(ran.values()) == {1}
    assert refused == []
    assert store.one("select count(*) from howdah.attempts") == 0
    store.connection.close()
    other.do("alter database howdah set tablespace pg_default")
    other.do("drop tablespace small")


def fill(ballast):
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(bytes(65536))
                file.flush()
        except OSError:
            return
