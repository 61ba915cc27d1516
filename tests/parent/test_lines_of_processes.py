"""What jobs in processes of the pool log stands where the worker's own lines stand."""

from __future__ import annotations

import json
from signal import SIGTERM

import pytest


@pytest.mark.parametrize("kind", ["text", "json"])
async def test_a_job_in_a_process_of_its_own_logs_as_the_worker_does(start, store, kind):
    parent = start("-p", "1", "--log-format", kind)
    job_id = store.enqueue("tell", {"word": "camel"})

    said = await parent.says("the word is camel")

    line = next(line for line in said.splitlines() if "camel" in line)
    if kind == "json":
        told = json.loads(line)
        assert (told["message"], told["job_id"]) == ("the word is camel", str(job_id))
    else:
        assert line.endswith(" the word is camel")


@pytest.mark.parametrize("kind", ["text", "json"])
async def test_arguments_stand_in_a_jobs_line_when_they_are_asked_for(start, store, kind):
    parent = start("-p", "1", "--log-format", kind, "--log-args")
    job_id = store.enqueue("hold", {"word": "camel"})

    said = await parent.says("camel")

    line = next(line for line in said.splitlines() if "camel" in line)
    assert "Traceback" not in said
    if kind == "json":
        told = json.loads(line)
        assert (told["job_id"], json.loads(told["arguments"])) == (str(job_id), {"word": "camel"})
    else:
        assert "✓ hold" in line


@pytest.mark.slow
async def test_a_lifespan_has_its_time_to_close_after_the_worker_has_left(start, store):
    """The store knows the child no more by then: its parent's heartbeats must not kill it."""
    parent = start("-p", "1", lost_after=1.0, closing_takes=2.0)
    await parent.ready()

    parent.send(SIGTERM)

    await parent.says("the lifespan is closed")
    assert "SIGKILL" not in parent.errors


ENDING = """
import asyncio
from contextlib import asynccontextmanager
import duties

@asynccontextmanager
async def lifespan(_):
    async def feed():
        await asyncio.sleep(0.1)
        raise ConnectionError("the feed has ended")

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        yield

app = duties.app
app.lifespan = lifespan
"""


@pytest.mark.slow
async def test_a_process_whose_lifespan_ends_by_itself_is_replaced_after_a_while(start, folder):
    (folder / "ending.py").write_text(ENDING)
    parent = start("-p", "1", app="ending:app")

    said = await parent.says("another starts in 250ms")
    parent.send(SIGTERM)

    assert "the app's lifespan broke" in said
    assert "ConnectionError: the feed has ended" in said
    assert await parent.ended() == 0
