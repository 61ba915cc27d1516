"""What jobs in processes of the pool log stands where the worker's own lines stand."""

from __future__ import annotations

import json

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
