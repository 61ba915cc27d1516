"""Producers that are killed are replaced, whichever they are."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

from chaos.producers import Producers


class Asleep(Producers):
    """Their programs only wait."""

    def _run(self, *command):
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


async def test_each_producer_that_is_killed_is_replaced_while_others_are_at_work(
    tmp_path, eventually
):
    producers = Asleep(tmp_path, lambda: "", seed=1)
    producers.start(100, 1, 60.0, sql_workers=0)
    waiting = asyncio.create_task(producers.done())
    before = producers.pids()

    try:
        for pid in before[1:]:
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: len(set(producers.pids()) - {*before}) == len(before) - 1)
        after = producers.pids()
    finally:
        waiting.cancel()
        producers.end()

    assert len(after) == len(before)
    assert before[0] in after
