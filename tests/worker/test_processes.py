"""Jobs in processes of their own: killable, replaced, and harmless to all others."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from howdah import App, BadInput, JobFailed, Workflow, jobs
from howdah.events import AttemptFinished, ProcessFailed
from howdah.settings import Settings
from howdah.source import Source
from howdah.worker import Worker
from howdah.worker.pooled import Pooled

sys.path.insert(0, str(Path(__file__).parent))
import poisons


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Callable[..., Any]]:
    """The app of poisons.py on this test's database, with these settings."""
    app = poisons.app

    def use(**settings: Any) -> App:
        app.use(Settings(database_url=dsn, **{"process_slots": 1, **settings}))
        return app

    yield use
    await app.close()


def suspicious(app: App, source: Source | None = None) -> Worker:
    """A worker as a parent starts it: suspects run alone."""
    return Worker(
        app.tasks,
        app.settings,
        app.events,
        lifespan=lambda: app.lifespan(app),
        source=lambda: source or Source(app="poisons:app"),
        isolate=True,
    )


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def has_noted(notes: Path) -> bool:
    return notes.exists() and notes.read_text().endswith("\n")


def said_openly(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


async def results(app: App, *many: Any) -> list[Any]:
    return [await app.result(job_id, 20) for job_id in await app.enqueue_many(many)]


# What a task finds there


async def test_jobs_run_one_after_the_other_in_a_process_that_leads_a_group_of_its_own(pool):
    app = pool()

    async with app.worker():
        first, second = await results(app, poisons.pid.job(), poisons.pid.job())

    pid, group = first[:2]
    assert len({pid, group, os.getpid()}) == 3
    assert first == [pid, group, group, pid, 1]
    assert second == [pid, group, group, pid, 2]


async def test_coroutines_run_on_the_process_s_loop_and_functions_may_have_one_of_their_own(pool):
    app = pool()

    async with app.worker():
        [[opened, is_main], name] = await results(
            app, poisons.on_loop.job(), poisons.loop_of_its_own.job()
        )

    assert (opened != os.getpid(), is_main, name) == (True, True, "MainThread")


async def test_arguments_and_results_travel_up_to_their_limits(pool):
    app = pool()
    large = ['"' * 500_000, "✓" * 300_000, [{"deep": [None, 1.5]}] * 20_000]

    async with app.worker():
        back = await results(app, *[poisons.echo.job(what) for what in large])

    assert back == large


@pytest.mark.slow
async def test_steps_of_many_megabytes_travel_and_what_is_longer_fails_its_own_job_only(
    pool, store, eventually
):
    app = pool()

    async with app.worker():
        await app.enqueue(Workflow("grown").add("first", poisons.grows.job(steps=9)))
        await eventually(lambda: store.states() == {"succeeded": 1, "scheduled": 9}, 20)
        failed = await app.enqueue(poisons.says_too_much.job())
        with pytest.raises(JobFailed, match="the result cannot be stored: with its cursor"):
            await app.result(failed, 20)

    assert store.job(failed).crashes == 0


async def test_what_a_job_raises_is_its_outcome_and_not_its_process_s_end(pool, store, eventually):
    app = pool()
    errors = {
        "SystemExit": "SystemExit: 3",
        "KeyboardInterrupt": "KeyboardInterrupt",
        "broken": "ValueError: broken",
        "Snooze": None,
        "Fail": "declined",
    }

    async with app.worker():
        [before] = await results(app, poisons.harmless.job())
        jobs = {words: await app.enqueue(poisons.tell.job(words)) for words in errors}
        await eventually(lambda: store.states() == {"succeeded": 1, "failed": 4, "scheduled": 1})
        [after] = await results(app, poisons.harmless.job())

    said = {words: store.job(job_id).error for words, job_id in jobs.items()}
    assert {words: error and error.splitlines()[-1] for words, error in said.items()} == errors
    assert store.job(jobs["Fail"]).result == {"code": 51}
    assert after == before


async def test_extend_reaches_the_store_from_a_process(pool, store):
    app = pool(process_slots=2)

    async with app.worker():
        left = await results(app, poisons.asks_for_more.job(), poisons.asks_for_more_in_main.job())

    assert all(18 < seconds < 20 for seconds in left)


async def test_a_job_hears_by_extend_that_its_lease_is_lost(pool, store, eventually, tmp_path):
    app, notes = pool(poll_every=30.0), tmp_path / "notes"

    async with app.worker():
        job_id = await app.enqueue(poisons.has_lost_its_lease.job(str(notes)))
        await eventually(lambda: has_noted(notes))
        store.do("select howdah.pause('default')")
        store.do("select howdah.release(%s, %s)", job_id, notes.read_text().strip())
        poisons.note(str(notes), "go")
        await eventually(lambda: len(notes.read_text().split()) == 3)

    assert notes.read_text().split()[1:] == ["go", "LeaseLost"]


async def test_nothing_secret_is_in_a_process_s_arguments_or_environment(pool, dsn):
    app = pool()

    async with app.worker():
        [[pid, *_]] = await results(app, poisons.pid.job())
        told = said_openly(pid)

    assert dsn.encode() not in told
    assert b"howdah.isolated" in told


# Timeouts, cancelling, stopping


async def test_a_timeout_kills_the_whole_group(pool, store, eventually, tmp_path):
    app, notes = pool(), tmp_path / "notes"

    async with app.worker():
        job_id = await app.enqueue(poisons.with_family.job(str(notes)))
        await eventually(lambda: store.state(job_id) == "failed")
        pids = [int(pid) for pid in notes.read_text().split()]
        await eventually(lambda: not any(is_alive(pid) for pid in pids), within=2)

    assert len(pids) == 2
    assert store.attempts(job_id) == ["timeout"]


async def test_finally_blocks_run_before_the_end(pool, store, eventually, tmp_path):
    app, tasks = (
        pool(process_slots=3),
        (poisons.tidy, poisons.tidy_on_loop, poisons.blocks_its_loop),
    )
    notes = [tmp_path / task.name for task in tasks]

    async with app.worker():
        jobs = [
            await app.enqueue(task.job(notes=str(file)))
            for task, file in zip(tasks, notes, strict=True)
        ]
        await eventually(lambda: store.states()["failed"] == 3)

    assert [store.job(job_id).error for job_id in jobs[:2]] == ["timed out after 1 s"] * 2
    assert store.job(jobs[2]).error == "timed out after 0.3 s; it let nothing beside it run"
    assert [file.read_text() for file in notes] == ["tidied, cancelled=True\n"] * 2 + ["tidied\n"]


async def test_finally_blocks_run_also_after_a_coroutine_that_took_the_signal_for_itself(
    pool, store, tmp_path
):
    app, notes = pool(), tmp_path / "notes"

    async with app.worker():
        await results(app, poisons.takes_the_signal.job())
        job_id = await app.enqueue(poisons.tidy_on_loop.job(notes=str(notes)))
        with pytest.raises(JobFailed):
            await app.result(job_id, 20)

    assert notes.read_text() == "tidied, cancelled=True\n"
    assert store.job(job_id).error == "timed out after 1 s"


@pytest.mark.parametrize("task", [poisons.loses_two_signals, poisons.does_not_hear_for_a_while])
async def test_a_signal_that_got_lost_is_sent_again(pool, store, tmp_path, task):
    app, notes = pool(), tmp_path / "notes"

    async with app.worker():
        job_id = await app.enqueue(task.job(notes=str(notes)))
        with pytest.raises(JobFailed):
            await app.result(job_id, 20)

    assert store.job(job_id).error == "timed out after 1 s"
    assert notes.read_text() == "tidied\n"


async def test_an_end_that_came_before_the_job_had_begun_is_not_lost_to_such_a_coroutine(
    pool, store
):
    app = pool()

    async with app.worker():
        await results(app, poisons.takes_the_signal_and_the_next_ones_time.job())
        job_id = await app.enqueue(poisons.sleeps.job())
        with pytest.raises(JobFailed):
            await app.result(job_id, 20)

    assert store.job(job_id).error == "timed out after 0.3 s"


async def test_who_ignores_its_ending_is_killed_and_replaced(pool, store, eventually, tmp_path):
    app, notes = pool(), tmp_path / "notes"

    async with app.worker():
        job_id = await app.enqueue(poisons.deaf.job(str(notes)))
        await eventually(lambda: store.state(job_id) == "failed")
        [after] = await results(app, poisons.harmless.job())

    assert store.job(job_id).error == "timed out after 0.3 s; its process was killed"
    assert after != int(notes.read_text())
    assert not is_alive(int(notes.read_text()))


async def test_a_running_job_is_cancelled_by_request(pool, store, eventually, tmp_path):
    app, notes = pool(), tmp_path / "notes"

    async with app.worker():
        job_id = await app.enqueue(poisons.long.job(str(notes)))
        await eventually(lambda: has_noted(notes))
        store.do("select howdah.cancel(%s)", job_id)
        await eventually(lambda: store.state(job_id) == "cancelled", within=3)
        await eventually(lambda: not is_alive(int(notes.read_text())), within=1)


async def test_a_worker_in_a_hurry_gives_its_job_back_and_leaves_no_process(
    pool, store, eventually, tmp_path
):
    app, notes = pool(), tmp_path / "notes"

    async with app.worker() as worker:
        job_id = await app.enqueue(poisons.long.job(str(notes)))
        await eventually(lambda: has_noted(notes))
        worker.stop(hurry=True)
        await worker.wait()

    assert store.state(job_id) == "ready"
    assert (store.job(job_id).attempt, store.job(job_id).crashes) == (0, 0)
    assert not is_alive(int(notes.read_text()))


async def test_overdue_jobs_are_killed_from_another_thread_while_the_loop_is_blocked(
    pool, store, eventually, tmp_path
):
    app, notes = pool(), tmp_path / "notes"

    async with app.worker() as worker:
        job_id = await app.enqueue(poisons.deaf.job(str(notes)))
        await eventually(lambda: has_noted(notes))
        ended = threading.Event()

        def watch() -> None:
            while is_alive(int(notes.read_text())):
                worker.processes.kill_overdue()
                time.sleep(0.02)
            ended.set()

        threading.Thread(target=watch, daemon=True).start()
        was_killed_meanwhile = ended.wait(5)
        await eventually(lambda: store.state(job_id) == "failed")

    assert was_killed_meanwhile
    assert store.attempts(job_id) == ["timeout"]
    assert store.job(job_id).error == "timed out after 0.3 s; its process was killed"


async def test_a_process_is_not_killed_for_an_attempt_that_has_made_room_for_another():
    """The loop replaces the attempt just when another thread finds it overdue."""
    process, killed_for = Pooled(lambda _: None), []
    process.kill = lambda: killed_for.append(process.attempt)
    overdue, innocent = Overdue(), SimpleNamespace(stopping=None, ends_at=None)
    overdue.meanwhile = threading.Thread(target=setattr, args=(process, "attempt", innocent))
    process.attempt = overdue

    process.kill_when_overdue()
    overdue.meanwhile.join()

    assert killed_for == [overdue]
    assert process.attempt is innocent


class Overdue:
    """An attempt that is replaced while somebody looks at it."""

    stopping = None

    @property
    def ends_at(self) -> float:
        self.meanwhile.start()
        self.meanwhile.join(0.2)  # for as long as it takes, or until it shows that it has to wait
        return 0.0


async def test_a_process_that_was_killed_gets_no_other_job_though_its_pipe_is_still_open(pool):
    app = pool()

    async with app.worker() as worker:
        (first,) = await results(app, poisons.echo.job(1))
        (process,) = worker.processes._all
        process.kill()
        was_usable = process.is_usable
        (second,) = await results(app, poisons.echo.job(2))

    assert (first, second) == (1, 2)
    assert not was_usable


@pytest.mark.slow
async def test_a_full_pool_blocks_nobody_and_who_waits_for_it_is_not_charged_time(
    pool, store, eventually, tmp_path
):
    app, notes = pool(), str(tmp_path / "notes")
    long = poisons.long.options(timeout=1.2)

    async with app.worker():
        waiting = await app.enqueue_many([long.job(notes, 0.8) for _ in range(3)])
        await eventually(lambda: store.state(waiting[0]) == "running")
        [pid] = await results(app, poisons.innocent.job())
        still_open = store.states()["succeeded"] == 1
        done = [await app.result(job_id, 10) for job_id in waiting]

    assert (pid, still_open) == (os.getpid(), True)
    assert done == ["done"] * 3


async def test_the_start_of_its_process_is_not_charged_to_a_job(pool, store):
    app = pool()
    job_id = await app.enqueue(poisons.harmless.options(timeout=0.1).job())

    async with app.worker():
        pid = await app.result(job_id, 10)

    assert pid != os.getpid()
    assert store.attempts(job_id) == []


async def test_an_idle_worker_is_woken_for_tasks_of_either_kind(pool):
    app = pool(poll_every=60.0, lost_after=600.0)

    async with app.worker() as worker:
        await results(app, poisons.harmless.job())
        for job in (poisons.harmless.job(), poisons.innocent.job(), poisons.harmless.job()):
            await worker.idle()
            await results(app, job)
            # within the 20 s of `results`: no poll comes so soon


async def test_processes_die_with_their_worker_whatever_they_do(work, store, ledger, eventually):
    store.enqueue("apart", {"is_deaf": True})
    worker = work(process_slots=1)
    [start] = await eventually(lambda: ledger.lines("start"))

    worker.kill()

    await eventually(lambda: not is_alive(start["pid"]), within=2)
    assert start["pid"] != worker.pid


async def test_an_app_of_a_program_is_found_by_its_processes(work, store, ledger, eventually):
    job_id = store.enqueue("apart")

    worker = work(process_slots=1, burst=True)

    assert await worker.ended() == 0, worker.errors
    assert store.job(job_id).result not in (None, worker.pid)


# Replacing


async def test_a_process_is_replaced_after_so_many_jobs(pool):
    app = pool(process_max_jobs=2)

    async with app.worker():
        pids = await results(app, *[poisons.harmless.job() for _ in range(5)])

    assert [*Counter(pids).values()] == [2, 2, 1]


LEFT = """
import asyncio, os
from contextlib import asynccontextmanager
from howdah import App

@asynccontextmanager
async def lifespan(_):
    async def feed():
        await asyncio.sleep(0.3)
        if os.getpid() != WORKER:
            raise ConnectionError("the feed has ended")

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        yield

app = App(lifespan=lifespan)

@app.task(name="pid", executor="process")
def pid():
    return os.getpid()
"""


@pytest.mark.slow
async def test_no_job_starts_in_a_process_whose_lifespan_has_ended_by_itself(
    dsn, store, eventually, tmp_path, monkeypatch
):
    (tmp_path / "left.py").write_text(LEFT.replace("WORKER", str(os.getpid())))
    monkeypatch.syspath_prepend(tmp_path)
    app = import_module("left").app
    app.use(Settings(database_url=dsn, process_slots=1))

    async with app, suspicious(app, Source(app="left:app")):
        job_id = await app.enqueue(app.tasks["pid"].job())
        first = await app.result(job_id, 20)
        await asyncio.sleep(0.6)  # nothing outside shows that it has ended
        job_id = await app.enqueue(app.tasks["pid"].job())
        await eventually(lambda: store.state(job_id) == "scheduled")
        assert store.job(job_id).attempt == 0
        assert await app.result(job_id, 20) != first

    assert "the feed has ended" in store.one("select error from howdah.attempts limit 1")


async def test_a_process_that_has_grown_too_large_is_replaced(pool):
    app = pool(process_memory=200)

    async with app.worker():
        hoards = await results(app, *[poisons.hoards.job(n) for n in (1, 1, 130, 1)])

    pids = [pid for pid, _ in hoards]
    assert pids[0] == pids[1] == pids[2] != pids[3]
    assert {limit for _, limit in hoards} == {200}


async def test_an_idle_process_that_dies_is_missed_by_nobody(pool, store, eventually):
    app = pool()

    async with app.worker() as worker:
        [pid] = await results(app, poisons.harmless.job())
        groups = []
        worker.processes.on_groups = groups.append
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not worker.processes.groups)
        [after] = await results(app, poisons.harmless.job())

    assert after != pid
    assert [len(each) for each in groups[:2]] == [0, 1]
    assert store.one("select count(*) from howdah.attempts") == 0


async def test_what_a_dead_process_leaves_behind_ends_with_it(pool, store, eventually, tmp_path):
    app, notes = pool(), tmp_path / "notes"
    store.do("select * from howdah.put_settings(max_crashes => 1)")

    async with app.worker():
        job_id = await app.enqueue(poisons.leaves_an_orphan.job(str(notes)))
        await eventually(lambda: store.state(job_id) == "failed")
        await eventually(lambda: not is_alive(int(notes.read_text())), within=2)


@pytest.mark.parametrize("task", [poisons.rests, poisons.rests_on_loop], ids=lambda task: task.name)
async def test_what_tells_all_processes_to_end_leaves_the_jobs_to_their_worker(
    pool, eventually, tmp_path, task
):
    """A service manager does so; the worker has then `shutdown_after` for what runs."""
    app, notes = pool(), tmp_path / "notes"

    async with app.worker() as worker:
        job_id = await app.enqueue(task.job(1.0, str(notes)))
        await eventually(lambda: has_noted(notes))
        [group] = worker.processes.groups
        os.killpg(group, signal.SIGTERM)
        ran = await app.result(job_id, 10)
        [next_one] = await results(app, poisons.harmless.job())

    assert (ran, next_one) == (int(notes.read_text()),) * 2


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGALRM"])
async def test_a_job_may_signal_its_own_group(pool, name):
    app = pool()

    async with app.worker():
        assert await results(app, poisons.signals_its_group.job(name)) == [name]


# Poison


ENDS = {
    "exits": ("crashed", "its process exited with status 3"),
    "segfaults": ("crashed", "its process was killed by SIGSEGV"),
    "eats memory": ("crashed", "out of memory: the limit of its process is 256 MiB"),
    "keeps the GIL": ("timeout", "timed out after 0.4 s; it let nothing beside it run"),
    "is deaf": ("timeout", "timed out after 0.4 s; its process was killed"),
}
OTHER_ENDS = {
    "is killed": "its process was killed by SIGKILL: out of memory?",
    "kills its parent": "its process was killed by SIGKILL: out of memory?",
    "writes garbage": "its process wrote into its pipe to the worker",
    "closes everything": "its process closed its pipe to the worker",
}


@pytest.mark.slow
async def test_poisons_stop_after_three_executions_and_innocents_beside_them_are_not_charged(
    pool, store, eventually, tmp_path
):
    app, notes = pool(process_slots=3, process_memory=256), tmp_path / "notes"
    bad = {
        kind: await app.enqueue(
            poisons.poison.options(timeout=0.4 if reason == "timeout" else 30).job(kind, str(notes))
        )
        for kind, (reason, _) in ENDS.items()
    }
    good = await app.enqueue_many(
        [task.job() for task in (poisons.harmless, poisons.innocent) for _ in range(50)]
    )

    async with app.worker():
        await eventually(lambda: store.states() == {"failed": 5, "succeeded": 100}, within=40)

    ends = {kind: (store.attempts(job_id), store.job(job_id).error) for kind, job_id in bad.items()}
    assert ends == {kind: ([reason] * 3, error) for kind, (reason, error) in ENDS.items()}
    assert Counter(notes.read_text().splitlines()) == dict.fromkeys(ENDS, 3)
    assert all(store.attempts(job_id) == [] for job_id in good)


async def test_the_job_s_error_says_how_its_process_ended(pool, store, eventually, tmp_path):
    app = pool(process_slots=2)
    store.do("select * from howdah.put_settings(max_crashes => 1)")
    long = poisons.poison.options(timeout=30)
    jobs = {kind: await app.enqueue(long.job(kind, str(tmp_path / "notes"))) for kind in OTHER_ENDS}

    async with app.worker():
        await eventually(lambda: store.states() == {"failed": len(jobs)}, within=20)

    assert {kind: store.job(job_id).error for kind, job_id in jobs.items()} == OTHER_ENDS
    assert all(store.attempts(job_id) == ["crashed"] for job_id in jobs.values())


@pytest.mark.parametrize("kind", ["exits", "keeps the GIL", "is deaf"])
async def test_a_suspect_runs_alone_whatever_its_executor_and_stops_after_max_crashes(
    pool, store, eventually, tmp_path, kind
):
    app, notes = pool(), tmp_path / "notes"
    job_id = await app.enqueue(poisons.poison_on_loop.job(kind, str(notes)))
    store.do(
        "update _howdah.job set crashes = 1, suspect = true"
    )  # as if it had killed its worker once
    beside = await app.enqueue(poisons.innocent.job())

    async with suspicious(app) as worker:
        await eventually(lambda: store.state(job_id) == "failed", within=15)
        assert await app.result(beside) == worker.identity.pid

    reason, error = ENDS[kind]
    # On a busy machine whoever keeps the GIL may be found out only when it does not stop.
    assert store.job(job_id).error in {error, ENDS["is deaf" if reason == "timeout" else kind][1]}
    assert store.attempts(job_id) == [reason] * 2
    assert notes.read_text().split("\n")[:-1] == [kind] * 2


async def test_a_suspect_that_is_innocent_succeeds_in_a_process(pool, store):
    app = pool()
    job_id = await app.enqueue(poisons.innocent.job())
    store.do("update _howdah.job set crashes = 1, suspect = true")

    async with suspicious(app):
        pid = await app.result(job_id, 10)

    assert pid != os.getpid()


async def test_no_more_suspects_are_held_than_can_run_and_others_pass_them(
    pool, store, eventually, monkeypatch, tmp_path
):
    monkeypatch.setattr("howdah.worker.slots.SUSPECTS", 2)
    app, notes = pool(shutdown_after=0.0), tmp_path / "notes"
    accused = await app.enqueue_many([poisons.rests.job(60, str(notes)) for _ in range(6)])
    store.do("update _howdah.job set crashes = 1, suspect = true")

    async with suspicious(app):
        await eventually(lambda: has_noted(notes))
        assert len(await results(app, *[poisons.innocent.job() for _ in range(20)])) == 20
        states = [store.state(each) for each in accused]

    assert states == ["running"] * 2 + ["ready"] * 4


async def test_misbehaviour_that_kills_nobody_is_survived(pool, store):
    app, kinds = pool(), [*poisons.MISBEHAVIOUR]

    async with app.worker():
        [before] = await results(app, poisons.harmless.job())
        done = await results(app, *[poisons.misbehaves.job(kind) for kind in kinds])
        [after] = await results(app, poisons.harmless.job())

    assert done == kinds
    assert after == before


# Where there is no process


async def test_an_app_that_no_other_process_can_have_is_refused_when_the_worker_starts(dsn):
    app = App(dsn)

    @app.task(name="local", executor="process")
    def local() -> None: ...

    with pytest.raises(BadInput, match="cannot be had in another process"):
        async with app.worker():
            pass


async def test_jobs_wait_where_no_process_can_be_started_and_the_worker_goes_on(
    pool, store, eventually, seen
):
    app = pool()
    failed, attempts = seen(app, ProcessFailed), seen(app, AttemptFinished)
    waiting = await app.enqueue_many([poisons.harmless.job() for _ in range(20)])

    async with suspicious(app, Source(app="no_such_module:app")):
        await eventually(lambda: len(failed) == 2, within=10)
        tries = len(attempts)
        [pid] = await results(app, poisons.innocent.job())

    assert pid == os.getpid()
    assert "cannot import 'no_such_module'" in failed[0].error
    assert set(store.attempts(waiting[0])) == {"no process"}
    assert (store.job(waiting[0]).attempt, store.job(waiting[0]).crashes) == (0, 0)
    assert tries <= 4


# The rest


async def test_a_timeout_is_told_to_whoever_waits(pool, tmp_path):
    app = pool()

    async with app.worker():
        job_id = await app.enqueue(poisons.tidy.job(notes=str(tmp_path / "notes")))
        with pytest.raises(JobFailed, match="timed out after 1 s"):
            await app.result(job_id, 10)


@pytest.mark.slow
async def test_eight_jobs_of_pure_work_take_two_processes_half_the_time_of_one(
    pool, eventually, store, record_property
):
    took = []
    for slots in (1, 2):
        app = pool(process_slots=slots)
        async with app.worker():
            await results(app, *[poisons.long.job("/dev/null", 0.3) for _ in range(slots)])
            began = time.monotonic()
            await results(app, *[poisons.burn.job(6_000_000) for _ in range(8)])
            took.append(time.monotonic() - began)

    record_property("seconds", [round(each, 2) for each in took])
    assert took[1] <= 0.6 * took[0]


async def test_a_process_says_how_far_its_job_is(pool, store, eventually):
    app = pool()

    async with app.worker():
        job = await app.enqueue(poisons.counting.job(7))
        told = "select progress from howdah.jobs where id = %s"
        await eventually(lambda: store.one(told, job), within=15)
        found = store.one(told, job)
        await app.run(jobs.cancel(job))
        await eventually(lambda: store.state(job) == "cancelled")

    assert (found["done"], found["total"], found["percent"]) == (7, 7, 100)
