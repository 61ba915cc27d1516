"""`make bench-keyed` on small numbers: it ends, says what was asked, leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "keyed.py"
SMALL = ("--jobs=200", "--waiting=100", "--rounds=1", "--processes=1", "--json")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_it_ends_and_says_of_each_rate_that_was_asked_whether_it_is_reached(dsn, db, tmp_path):
    ran = subprocess.run(
        [sys.executable, PROGRAM, *SMALL],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": dsn},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode in {0, 1}, ran.stderr
    document = json.loads(ran.stdout)
    said = [note.partition(": ") for note in document["notes"]]
    verdicts = {
        rest.rpartition(": ")[0]: how for how, _, rest in said if how in {"reached", "MISSED"}
    }
    assert {*verdicts} == {
        "run: one serial key",
        "run: 1,000 serial keys",
        "run: 200 limits of 3",
        "run: a queue with a limit of 100",
        "enqueue one by one: unique key / plain",
        "enqueue in bulk: unique key / plain",
        "run: a blocked key in front / nobody",
    }
    assert {*verdicts} <= {*document["figures"]}
    assert ran.returncode == ("MISSED" in verdicts.values())
    left = db.execute("select count(*) from pg_namespace where nspname ~ 'howdah_bench'")
    assert left.fetchone() == (0,)
