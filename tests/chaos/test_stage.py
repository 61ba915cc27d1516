"""What a run notes of its lone jobs."""

from __future__ import annotations

import json

import pytest

from chaos.liveness import PROBE_KEYS
from chaos.log import Log
from chaos.stage import waits_of


def _started(key: int, at: float) -> str:
    return json.dumps({"e": "start", "t": int(at * 1e9), "k": key}, separators=(",", ":"))


def test_a_lone_job_counts_though_its_worker_had_done_nothing_before(tmp_path):
    (tmp_path / "worker-1.jsonl").write_text(_started(PROBE_KEYS, 5.25) + "\n")

    assert waits_of({PROBE_KEYS: 5_000_000_000}, tmp_path) == [0.25]


def test_only_starts_of_lone_jobs_count(tmp_path):
    log = Log(tmp_path / "worker-1.jsonl")
    log.write("start", k=7, a=1)
    log.write("end", k=PROBE_KEYS)
    log.write("start", k=PROBE_KEYS + 1, a=1)

    assert waits_of({PROBE_KEYS: 0}, tmp_path) == []


def test_a_line_cut_in_two_where_a_long_logs_end_begins_is_left_out(tmp_path):
    long = (_started(PROBE_KEYS + 1, 1.0) + "\n") * 5_000
    (tmp_path / "worker-1.jsonl").write_text(long + _started(PROBE_KEYS, 2.5) + "\n")

    assert waits_of({PROBE_KEYS: 2_000_000_000}, tmp_path) == [pytest.approx(0.5)]
