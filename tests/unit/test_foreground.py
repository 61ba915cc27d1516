"""What keeps a worker's loop going."""

from __future__ import annotations

import asyncio
import sys

import pytest

from howdah.runner import run_to_the_end


async def leave() -> None:
    sys.exit(3)


def test_a_sys_exit_in_an_asyncio_task_of_a_job_is_the_jobs_and_ends_no_worker() -> None:
    async def work() -> str:
        with pytest.raises(SystemExit):
            await asyncio.gather(leave())
        return "still here"

    with asyncio.Runner() as runner:
        assert run_to_the_end(runner.get_loop(), work()) == "still here"


def test_a_sys_exit_of_its_own_goes_on() -> None:
    with asyncio.Runner() as runner, pytest.raises(SystemExit):
        run_to_the_end(runner.get_loop(), leave())
