"""A program whose wall clock steps can still wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chaos.faults.clocks import environment
from chaos.world import NotHere

WAITS = """
import subprocess, sys, time
program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"])
program.wait(20)
print(time.time() < 86_400 * 365 * 40)
"""


@pytest.mark.parametrize("offset", ["-1000000000s", "+3600s"])
def test_a_program_with_a_wrong_clock_sleeps_and_waits_for_another(tmp_path, offset):
    steps = tmp_path / "steps"
    steps.write_text(offset)
    try:
        faked = environment(steps)
    except NotHere as error:
        pytest.skip(str(error))

    ended = subprocess.run(
        [sys.executable, "-P", "-c", WAITS],
        env={**os.environ, **faked}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.stderr == ""
    assert ended.stdout.strip() == str(offset.startswith("-"))
