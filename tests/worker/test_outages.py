"""The database goes away, or one connection does, or one answer."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections import Counter
from uuid import UUID

import pytest
from data_folders import lay_out

from howdah import App, embedded, jobs
from howdah.events import DatabaseBack, DatabaseLost, LeaseRefused
from howdah.worker import finisher, link

CUT = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and application_name like %s
"""


class Server:
    """A PostgreSQL of the test's own, that can be killed and started again."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self.start()
        self.dsn = self._server.dsn()

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate` does it."""
        os.kill(self._server.pid, signal.SIGQUIT)
        self._server.stop()

    def start(self) -> None:
        settings = {"max_connections": "50", "fsync": "off"}
        self._server = embedded.start(self._folder, settings=settings)

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def server(tmp_path):
    lay_out(tmp_path / "data", schema=True)
    server = Server(tmp_path / "data")
    yield server
    server.stop()
    shutil.rmtree(tmp_path / "data")


async def test_after_a_crash_of_the_database_the_worker_goes_on_and_nothing_runs_twice(
    server, work, ledger, store_of, eventually, record_property
):
    """Some jobs end while it is away, some after it is back; the listener hears again. PJ-15."""
    store = store_of(server.dsn)
    during = [store.enqueue("hold", {"first": 1.0}) for _ in range(10)]
    across = [store.enqueue("hold", {"first": 6.0}) for _ in range(10)]
    waiting = [store.enqueue("hold", {"first": 0.1}, delay="3 s") for _ in range(5)]
    worker = work(server.dsn, poll_every=30.0, lost_after=2.0, slots=30)
    await eventually(lambda: len(ledger.starts()) == 20)

    server.crash()
    await eventually(lambda: ledger.ends() == 10)
    down = time.monotonic()
    await eventually(lambda: time.monotonic() > down + 2.5)  # longer than lost_after
    await asyncio.to_thread(server.start)
    back = time.monotonic()
    store = store_of(server.dsn)
    await eventually(lambda: all(store.state(job_id) == "succeeded" for job_id in during))
    record_property("results_stored_after", round(time.monotonic() - back, 2))
    await eventually(lambda: store.states()["succeeded"] == 25, within=15)
    await eventually(lambda: store.one("select count(*) from _howdah.idle") == 1)
    listening = "select count(*) from pg_stat_activity where application_name = 'howdah listener'"
    await eventually(lambda: store.one(listening))
    last = store.enqueue("hold")
    enqueued = time.monotonic()
    await eventually(lambda: store.state(last) == "succeeded")

    assert time.monotonic() - enqueued < 1
    assert worker.running
    assert ledger.starts() == dict.fromkeys([*during, *across, *waiting, last], 1)
    assert {store.job(job_id).attempt for job_id in during + across} == {1}
    assert store.one("select count(*) from howdah.attempts") == 0
    assert store.one("select count(*) from howdah.workers") == 1


@pytest.mark.parametrize(
    "first", ["select howdah.chores('{rescue}')", "select howdah.claim('{another}')"]
)
async def test_whoever_comes_first_after_an_outage_rescues_nobody(
    server, work, ledger, store_of, eventually, first
):
    """The worker is held back until somebody else has looked for lost ones."""
    store = store_of(server.dsn)
    job_id = store.enqueue("hold", {"first": 3.0})
    worker = work(server.dsn, lost_after=1.0)
    await eventually(lambda: ledger.starts()[job_id] == 1)

    server.crash()
    down = time.monotonic()
    await eventually(lambda: time.monotonic() > down + 1.2)  # longer than lost_after
    worker.send(signal.SIGSTOP)
    await asyncio.to_thread(server.start)
    store = store_of(server.dsn)
    store.do(first)
    worker.send(signal.SIGCONT)
    await eventually(lambda: store.state(job_id) == "succeeded")

    assert ledger.starts() == {job_id: 1}
    assert store.one("select count(*) from howdah.attempts") == 0


async def test_cut_connections_cost_nothing_but_time(dsn, store, eventually, seen):
    """M-19, PJ-15."""
    app, ran = App(dsn, poll_every=0.2), Counter()
    lost, back = seen(app, DatabaseLost), seen(app, DatabaseBack)

    @app.task(name="job")
    async def job(n: int):
        ran[n] += 1
        await asyncio.sleep(0.002)

    async with app, app.worker(slots=10):
        ids = await app.enqueue_many([job.job(n) for n in range(4000)])
        for turn in range(12):
            name = ["howdah worker % claims", "howdah worker % finishes", "howdah worker % looks",
                    "howdah listener"][turn % 4]  # fmt: skip
            done = len(ran)
            await eventually(lambda name=name: store.one(CUT, name))
            await eventually(lambda done=done: len(ran) > done + 50 or len(ran) == 4000)
        await eventually(lambda: store.states()["succeeded"] == 4000, within=30)

    assert len(ids) == 4000
    assert set(ran.values()) == {1}
    assert {event.loop for event in lost} == {event.loop for event in back}


async def test_a_claim_whose_answer_was_lost_is_released_uncharged(dsn, store, eventually):
    app = App(dsn, poll_every=30.0)

    @app.task(name="job")
    async def job(): ...

    async with app, app.worker() as worker:
        await eventually(lambda: store.one("select count(*) from _howdah.idle"))
        store.do("begin")  # by somebody else, in the name of this worker, and unseen by it
        many = [store.enqueue("job") for _ in range(3)]
        store.do("select from howdah.claim(n => 3, worker => %s)", worker.identity.id)
        store.do("commit")
        assert {store.state(job_id) for job_id in many} == {"running"}

        assert store.one(CUT, "howdah worker % claims") == 1
        worker._parts.fetcher.poke()
        await eventually(lambda: {store.state(job_id) for job_id in many} == {"succeeded"})

    assert {store.job(job_id).attempt for job_id in many} == {1}
    assert {tuple(store.attempts(job_id)) for job_id in many} == {("released",)}


async def test_outcomes_are_bounded_while_they_cannot_be_stored_and_delivered_later(
    dsn, store, eventually, monkeypatch
):
    monkeypatch.setattr(finisher, "MOST_WAITING", 100)
    app, ran, away = App(dsn), Counter(), True

    @app.task(name="job")
    async def job(n: int):
        ran[n] += 1

    async with app, app.worker(slots=10) as worker:
        original = worker._parts._finishes.run

        async def cut(call, **options):
            if away:
                raise ConnectionResetError("no database")
            return await original(call, **options)

        worker._parts._finishes.run = cut
        await app.enqueue_many([job.job(n) for n in range(1000)])
        await eventually(lambda: not worker._parts.finisher.has_room)
        await eventually(lambda: worker.status()["waiting"] > 0)
        held = len(ran)
        away = False
        await eventually(lambda: store.states()["succeeded"] == 1000, within=20)

    assert 100 <= held <= 110
    assert set(ran.values()) == {1}


async def test_a_finish_whose_answer_was_lost_is_sent_again_and_counts_once(
    app, store, eventually, seen
):
    ran, refused = Counter(), seen(app, LeaseRefused)

    @app.task(name="job")
    async def job(n: int):
        ran[n] += 1
        return n

    async with app.worker() as worker:
        original, losses = worker._parts._finishes.run, []

        async def deaf(call, **options):
            answer = await original(call, **options)
            if len(losses) < 3:
                losses.append(answer)
                raise ConnectionResetError("the answer was lost")
            return answer

        worker._parts._finishes.run = deaf
        await app.enqueue_many([job.job(n) for n in range(50)])
        await eventually(lambda: len(losses) == 3 and store.states()["succeeded"] == 50)
        await eventually(lambda: worker._parts.finisher.is_empty)

    assert set(ran.values()) == {1}
    assert refused == []
    assert store.one("select count(*) from howdah.attempts") == 0


async def test_a_locked_row_holds_up_itself_and_no_other(dsn, store, store_of, eventually):
    app, go = App(dsn), asyncio.Event()

    @app.task(name="job")
    async def job(n: int):
        await go.wait()

    other = store_of(dsn)
    async with app, app.worker():
        ids = await app.enqueue_many([job.job(n) for n in range(20)])
        await eventually(lambda: store.states()["running"] == 20)
        other.do("begin")
        other.do("select from _howdah.job where id = %s for update", ids[3])
        go.set()
        await eventually(lambda: store.states()["succeeded"] == 19)
        assert store.state(ids[3]) == "running"
        other.do("rollback")
        await eventually(lambda: store.states()["succeeded"] == 20)


async def test_an_outage_of_hours_ends_no_loop(app, monkeypatch):
    """The wait between two tries is computed from their number: it must not overflow."""
    tries = 0

    async def no_wait(_):
        await original(0)

    async def do():
        nonlocal tries
        tries += 1
        if tries < 3000:
            raise ConnectionRefusedError
        return "back"

    original = asyncio.sleep
    monkeypatch.setattr(link.asyncio, "sleep", no_wait)

    assert await link.Patience("test", app.events).until_done(do) == "back"


async def test_a_link_whose_opening_failed_is_opened_again_as_a_whole(settings):
    opened = []

    async def on_open(_):
        opened.append(1)
        if len(opened) == 1:
            raise ValueError("the first time")

    channel = link.Link(settings, "howdah test", on_open)
    with pytest.raises(ValueError, match="the first time"):
        await channel.run(_nothing())
    await channel.run(_nothing())
    await channel.close()

    assert len(opened) == 2


def _nothing():
    return jobs.outcome(UUID(int=0))


async def test_no_session_of_ours_idles_in_a_transaction(dsn, store, eventually):
    """DPQ-09."""
    app, samples = App(dsn, poll_every=0.1), []

    @app.task(name="job")
    async def job(n: int):
        await asyncio.sleep(0.001)

    held = """
        select coalesce(extract(epoch from max(clock_timestamp() - state_change)), 0)::float8
        from pg_stat_activity
        where application_name like 'howdah%%' and state like 'idle in transaction%%'
    """

    def sample():
        samples.append(store.one(held))
        return store.one("select count(*) from _howdah.job") == 0

    async with app, app.worker(slots=10):
        await app.enqueue_many([job.job(n) for n in range(2000)])
        await eventually(sample, within=20)

    assert len(samples) > 20
    assert max(samples) < 0.1


async def test_a_worker_is_told_that_it_was_swept_and_registers_anew(dsn, store, eventually):
    app, ends = App(dsn, lost_after=1.0), []

    @app.task(name="job")
    async def job(n: int):
        try:
            await asyncio.sleep(0.5 if n else 0.01)
        except asyncio.CancelledError:
            ends.append(n)
            raise

    async with app, app.worker(slots=2) as worker:
        old = worker.identity.id
        job_id = await app.enqueue(job.job(1))
        await eventually(lambda: store.state(job_id) == "running")
        store.do(
            "update _howdah.worker set beat_at = '2020-01-01', lock_key = null;"
            "update _howdah.pulse set resumed_at = 'epoch', beat_at = clock_timestamp();"
            "select _howdah.rescue(100)"
        )
        await eventually(lambda: worker.identity.id != old)
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.job(job_id).crashes == 1
    assert store.job(job_id).worker == worker.identity.id
    assert ends == [1]
