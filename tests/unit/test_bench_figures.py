"""The arithmetic of `howdah bench`: medians, percentiles, what is left out, what is written."""

from __future__ import annotations

import pytest

from howdah.bench.figures import Figure, figures, percentile, rounded
from howdah.bench.meter import Spent
from howdah.bench.staff import environment
from howdah.bench.surroundings import is_durable
from howdah.settings import Settings, load

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


def spent(seconds, wal, cpu, transactions=None):
    return Spent(
        seconds=seconds,
        wal=wal,
        images=0,
        server_cpu=cpu,
        client_cpu=1,
        transactions=transactions,
    )


def test_a_figure_is_the_median_of_its_rounds():
    assert Figure("rate", "jobs/s", (30, 10, 20)).value == 20
    assert Figure("rate", "jobs/s", (40, 10, 20, 30)).value == 25


def test_rounds_become_figures_in_their_order():
    found = figures([{"a": (1, "x"), "b": (2, "y")}, {"a": (3, "x"), "b": (4, "y")}])

    assert found == [Figure("a", "x", (1, 3)), Figure("b", "y", (2, 4))]


def test_what_some_round_did_not_know_is_left_out():
    found = figures([{"a": (1, "x"), "b": (None, "y")}, {"a": (3, "x"), "b": (4, "y")}])

    assert [figure.name for figure in found] == ["a"]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (0.991, 100), (1, 100), (0, 1)]
)
def test_a_percentile_is_one_of_the_values(share, expected):
    assert percentile([*range(100, 0, -1)], share) == expected
    assert percentile([7], share) == 7


def test_figures_are_rounded_to_digits_that_mean_something():
    assert rounded(31234.56) == 31235
    assert rounded(0.123456) == 0.1235
    assert rounded(0) == 0


def test_two_readings_have_a_difference():
    difference = spent(12, 1500, 3.0, 40).since(spent(10, 500, 1.0, 10))

    assert (difference.seconds, difference.wal, difference.server_cpu) == (2, 1000, 2.0)
    assert difference.transactions == 30
    assert difference.client_cpu == 0


def test_what_a_reading_lacks_the_difference_lacks_too():
    difference = spent(12, 1500, None, 40).since(spent(10, 500, None))

    assert difference.server_cpu is None
    assert difference.transactions is None
    assert difference.per_job(10)["server's CPU"] == (None, "s/10k jobs")


def test_costs_are_per_job_and_cpu_per_ten_thousand():
    cost = spent(1, 9_000, 0.5, 20).per_job(10)

    assert cost["WAL"] == (900, "bytes/job")
    assert cost["server's CPU"] == (500, "s/10k jobs")
    assert cost["transactions"] == (2, "per job")


@pytest.mark.parametrize(
    ("changed", "durable"),
    [
        ({}, True),
        ({"synchronous_commit": "local"}, True),
        ({"synchronous_commit": "off"}, False),
        ({"fsync": "off"}, False),
        ({"full_page_writes": "off"}, False),
    ],
)
def test_durable_means_that_commits_wait_for_the_disk(changed, durable):
    assert is_durable(DURABLE | changed) is durable


def test_worker_processes_get_the_same_settings_in_production(tmp_path):
    settings = Settings(
        database_url="postgresql://u@/d", schema="scratch", slots=7, prepare=False, lost_after=9.5
    )

    theirs = load(environ=environment(settings), folder=tmp_path).settings

    assert theirs.env == "production"
    assert (theirs.database_url, theirs.schema, theirs.slots) == ("postgresql://u@/d", "scratch", 7)
    assert (theirs.prepare, theirs.lost_after, theirs.app) == (False, 9.5, None)
