"""What a parent does when the store orders its children away, bursts end, or files change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from signal import SIGKILL, SIGTERM
from uuid import UUID

import pytest

VERSION = """
from howdah import App
app = App()

@app.task(name="version")
def version() -> int:
    return {version}
"""


async def test_drained_children_are_not_replaced_and_the_last_ends_the_parent(
    start, store, ledger, eventually
):
    parent = start("-p", "2", "--name", "ann")
    await parent.ready(2)
    job_id = store.enqueue("hold", {"first": 0.7})
    await eventually(lambda: ledger.starts()[job_id] == 1)
    worker = store.job(job_id).worker

    one = store.one("select howdah.drain(worker => %s)", worker)

    async def left() -> list[UUID]:
        found = (await parent.status())["processes"]
        return [UUID(each["id"]) for each in found if "id" in each]

    await eventually(lambda: store.one("select count(*) from howdah.workers") == 1)
    while len(after_one := await left()) > 1:
        pass
    all_of = store.one("select howdah.drain(name => 'ann')")
    code = await parent.ended()
    later = start("-p", "1", "--name", "ann")
    await later.ready()
    after = store.enqueue("hold")
    await eventually(lambda: store.state(after) == "succeeded")

    assert (one, all_of, code) == (1, 1, 0)
    assert worker not in after_one
    assert ledger.starts() == {job_id: 1, after: 1}
    assert store.state(job_id) == "succeeded"
    assert parent.family() == []


@pytest.mark.slow
async def test_a_child_that_dies_while_it_is_drained_is_not_replaced_either(
    start, store, ledger, eventually
):
    parent = start("-p", "1", "-c", "1", lost_after=3.0)
    (pid,) = await parent.ready()
    job_id = store.enqueue("spin", {"length": 60})
    await eventually(lambda: ledger.starts()[job_id] == 1)

    store.do("select howdah.drain(name => '*')")  # its loop does not turn: the parent hears it
    await eventually(lambda: store.one("select control from howdah.workers") == "drain")
    code = await parent.ended()

    assert code == 0
    assert (store.state(job_id), store.job(job_id).crashes) == ("ready", 1)
    assert "another starts" not in parent.errors
    assert f"(pid {pid}) was killed for its silence with 1 job\n" in parent.errors


async def test_a_burst_of_two_processes_ends_when_all_is_done(start, store):
    for _ in range(20):
        store.enqueue("hold", {"first": 0.1})

    parent = start("-p", "2", "-c", "5", "--burst")
    code = await parent.ended()

    assert code == 0
    assert store.states() == {"succeeded": 20}
    assert parent.family() == []


async def test_changed_files_are_run_and_broken_ones_are_waited_for(
    start, store, folder, eventually
):
    file = folder / "versions.py"

    async def ran() -> int:
        job_id = store.enqueue("version")
        await eventually(lambda: store.state(job_id) == "succeeded", within=30)
        return store.job(job_id).result

    async def write(text: str, says: str) -> None:
        times = parent.errors.count(says)
        file.write_text(text)
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        await parent.says(says, times + 1)

    file.write_text(VERSION.format(version=1))
    parent = start("-p", "1", "--reload", app="versions:app")
    await parent.ready()
    first = await ran()
    await write(VERSION.format(version=2), "· worker ")
    second = await ran()
    await write("1 / 0", "another starts when a file changes")
    await write(VERSION.format(version=3), "· worker ")
    third = await ran()
    parent.send(SIGTERM)

    assert (first, second, third) == (1, 2, 3)
    assert await parent.ended() == 0
    assert parent.errors.count("ZeroDivisionError") == 1
    assert parent.errors.count(f"{file} changed: starting anew") == 3
    assert "change detected" not in parent.errors  # watchfiles' own words


@pytest.mark.slow
async def test_an_embedded_database_outlives_the_children_but_not_the_parent(
    start, folder, eventually, env
):
    parent = start("-p", "1", database=None)
    (pid,) = await parent.ready()
    os.kill(pid, SIGKILL)
    await parent.says("· worker ", 2)
    command = [sys.executable, "-m", "howdah"]
    stored = subprocess.run(  # noqa: ASYNC221 - nothing else is to be done
        [*command, "enqueue", "hold", "{}"], cwd=folder, env=env, capture_output=True, check=False
    )
    await parent.says("✓ hold")
    parent.send(SIGTERM)

    assert stored.returncode == 0
    assert await parent.ended() == 0
    await eventually(lambda: parent.family() == [])
    assert "the database is away" not in parent.errors
