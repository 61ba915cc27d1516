"""What keeps a worker's loop going, and what does not keep it from ending."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from howdah import foreground
from howdah.foreground import run_on_a_loop


async def leave() -> None:
    sys.exit(3)


async def deaf(until: float) -> None:
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


def test_a_sys_exit_in_an_asyncio_task_of_a_job_is_the_jobs_and_ends_no_worker() -> None:
    async def work() -> str:
        with pytest.raises(SystemExit):
            await asyncio.gather(leave())
        return "still here"

    assert run_on_a_loop(work()) == "still here"


def test_a_sys_exit_of_its_own_goes_on() -> None:
    with pytest.raises(SystemExit):
        run_on_a_loop(leave())


def test_what_a_job_has_left_behind_and_will_not_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(foreground, "LEFT_WITHIN", 0.05)
    until, left = time.monotonic() + 5, []

    async def work() -> str:
        left.append(asyncio.create_task(deaf(until)))
        await asyncio.sleep(0)
        return "done"

    assert run_on_a_loop(work()) == "done"

    assert time.monotonic() < until - 3
    assert "1 left behind" in caplog.text
    left[0]._log_destroy_pending = False  # type: ignore[attr-defined]
    left[0].get_coro().close()
