"""Pages of jobs: the same whichever road finds them, and quick where few jobs pass a filter."""

from __future__ import annotations

import pytest
from touching import VACUUM, touched

MANY = 6_000  # more than are gathered from an index at once

FILTERS = {
    "everything": ({}, "true"),
    "few of a queue": ({"queue": "rare"}, "queue = 'rare'"),
    "many of a queue": ({"queue": "many"}, "queue = 'many'"),
    "none of a queue": ({"queue": "none"}, "false"),
    "ready": ({"state": "ready"}, "state = 'ready'"),
    "ready of a queue": (
        {"state": "ready", "queue": "rare"},
        "state = 'ready' and queue = 'rare'",
    ),
    "scheduled": ({"state": "scheduled"}, "state = 'scheduled'"),
    "scheduled of a queue": (
        {"state": "scheduled", "queue": "many"},
        "state = 'scheduled' and queue = 'many'",
    ),
    "running": ({"state": "running"}, "state = 'running'"),
    "running of a task": (
        {"state": "running", "task": "a"},
        "state = 'running' and task = 'a'",
    ),
    "succeeded": ({"state": "succeeded"}, "state = 'succeeded'"),
    "failed": ({"state": "failed"}, "state = 'failed'"),
    "cancelled of a queue": (
        {"state": "cancelled", "queue": "rare"},
        "state = 'cancelled' and queue = 'rare'",
    ),
    "a tag of a queue": ({"tag": "x", "queue": "rare"}, "'x' = any (tags) and queue = 'rare'"),
    "a task": ({"task": "b"}, "task = 'b'"),
}


def fill(door, queue, count, **options):
    jobs = [{"task": "ab"[n % 2], "queue": queue, **options} for n in range(count)]
    return [row.id for row in door.enqueue_json(*jobs)]


@pytest.fixture
def crowded(door):
    """Few old jobs of a rare queue, in every state, and many newer ones of another."""
    door.rows(VACUUM)
    fill(door, "rare", 9, tags=["x"])
    fill(door, "rare", 4, delay="1 hour", tags=["x", "y"])
    door.finish(door.claim(2, queues=["rare"]), outcomes=["succeeded", "failed"])
    door.value("cancel", id=door.one("select id from howdah.ready order by id limit 1"))
    door.claim(2, queues=["rare"])
    fill(door, "many", MANY)
    fill(door, "many", 5, delay="1 hour")
    return door


@pytest.mark.parametrize("name", FILTERS)
def test_a_page_holds_the_newest_that_pass_the_filters(crowded, name):
    filters, condition = FILTERS[name]

    for before in ("ffffffff-ffff-ffff-ffff-ffffffffffff", middle(crowded)):
        page = [row.id for row in crowded.call("list_jobs", **filters, before=before, n=7)]
        wanted = crowded.rows(
            f"select id from howdah.jobs where {condition} and id < %s order by id desc limit 7",
            before,
        )
        assert page == [row.id for row in wanted]


def middle(door):
    return door.one("select id from howdah.jobs order by id desc offset 3000 limit 1")


@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics", "statistics"])
@pytest.mark.parametrize(
    "filters",
    [
        {"queue": "rare"},
        {"queue": "none", "state": "ready"},
        {"state": "running"},
        {"state": "scheduled", "queue": "rare"},
        {"state": "failed"},
        {"state": "cancelled", "task": "none"},
        {},
    ],
    ids=str,
)
def test_a_page_of_few_does_not_look_at_the_many(crowded, filters, analyzed):
    if analyzed:
        crowded.rows("analyze _howdah.job")

    scans, rows, _ = touched(crowded, lambda: crowded.call("list_jobs", **filters, n=20))

    assert scans == 0
    assert rows <= 100


def test_a_look_that_finds_none_ends_where_it_is_told_to(crowded):
    end = crowded.value("list_end", jobs=300)

    _, rows, _ = touched(crowded, lambda: crowded.call("list_jobs", task="none", down_to=end))

    assert crowded.one("select count(*) from howdah.jobs where id >= %s", end) == 300
    assert rows <= 400


def test_pages_that_end_early_make_a_whole(crowded):
    found, before = [], None
    while end := crowded.value("list_end", before=before, jobs=1500):
        found += crowded.call("list_jobs", tag="y", before=before, down_to=end)
        before = end
    found += crowded.call("list_jobs", tag="y", before=before)

    assert [row.tags for row in found] == [["x", "y"]] * 4


def test_there_is_no_end_below_the_last_job(crowded):
    oldest = crowded.one("select id from howdah.jobs order by id limit 1")

    assert crowded.value("list_end", before=oldest) is None
    assert crowded.value("list_end", jobs=100_000) is None


def test_the_end_of_an_id_is_looked_for_among_the_newest(crowded):
    ids = [row.id for row in crowded.rows("select id from howdah.jobs order by id desc limit 50")]

    found = [crowded.call("ids_ending", ending=str(i)[-12:], n=50)[0][0] for i in (ids[0], ids[49])]
    beyond = crowded.call("ids_ending", ending=str(ids[49])[-12:], n=49)

    assert found == [ids[0], ids[49]]
    assert beyond == []


def test_looking_at_queues_costs_the_same_however_many_jobs_wait(crowded):
    _, rows, _ = touched(crowded, lambda: crowded.rows("select * from howdah.queues"))

    assert rows <= 1_300
