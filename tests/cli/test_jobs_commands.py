"""`howdah jobs …`: lists, filters, pages, shows, and changes what becomes of jobs."""

from __future__ import annotations

import asyncio

import pytest

from howdah import jobs
from howdah.cli.jobs.finding import matching
from howdah.client import on
from howdah.job import Job, make_options


@pytest.fixture
def store(db):
    return on(db)


def _job(store, task="t", **options):
    return str(store.enqueue(Job(task, "{}", make_options(**options))))


def _failed(store, task="t", error="ValueError: no", **options):
    job_id = _job(store, task, **options)
    claimed = store.run(jobs.claim(tasks=[task], n=1))[0]
    store.run(jobs.nack(claimed.id, claimed.lease, error, retry=False))
    return job_id


def _states(store, *ids):
    return [store.run(jobs.get(job_id)).state for job_id in ids]


def test_the_list_is_newest_first_and_goes_on_below_an_id(run, store):
    ids = [_job(store) for _ in range(5)][::-1]

    first = run("jobs", "list", "--limit", "3", "--json").json
    rest = run("jobs", "list", "--before", first[-1]["id"], "--json").json

    assert [job["id"] for job in first + rest] == sorted(ids, reverse=True)


def test_crashes_stand_beside_the_attempts_which_they_do_not_charge(run, store, db):
    job_id = _job(store)
    db.execute("update _howdah.job set crashes = 2 where id = %s", [job_id])

    assert "0/4 and 2 crashed" in run("jobs", "list").out
    assert "2, not counted above; max_crashes of them fail a job" in run("jobs", "show", job_id).out


def test_a_full_page_says_how_to_go_on(run, store):
    ids = sorted(_job(store) for _ in range(3))

    assert f"--before {ids[1]}" in run("jobs", "list", "--limit", "2").err
    assert "--before" not in run("jobs", "list").err


def test_a_list_that_looked_at_many_says_where_to_go_on(run, store, monkeypatch):
    monkeypatch.setattr("howdah.cli.jobs.list.AT_A_TIME", 2)
    old = _job(store, tags=["rare"])
    ids = sorted(_job(store) for _ in range(3))

    first = run("jobs", "list", "--tag", "rare")
    rest = run("jobs", "list", "--tag", "rare", "--before", ids[1], "--json").json
    at_once = run("jobs", "list", "--tag", "rare", "--all", "--json").json

    assert f"2 jobs were looked at, and there may be more: --before {ids[1]}" in first.err
    assert old not in first.out
    assert [job["id"] for job in rest] == [job["id"] for job in at_once] == [old]


def test_each_filter_filters(run, store):
    one = _job(store, "a", queue="mail", tags=["blue"])
    two = _job(store, "b", delay="1h")
    gone = _failed(store, "c")

    def ids(*args):
        return {job["id"] for job in run("jobs", "list", "--json", *args).json}

    assert ids("--queue", "mail") == ids("--task", "a") == ids("--tag", "blue") == {one}
    assert ids("--state", "scheduled") == {two}
    assert ids("--state", "failed") == {gone}
    assert ids("--older", "1h") == set()
    assert ids("--newer", "1h") == {one, two, gone}


def test_the_json_of_a_job_is_typed(run, store):
    job_id = _job(store, timeout="90s", tags=["x"], headers={"trace": 1})

    job = run("jobs", "list", "--json").json[0]

    assert (job["id"], job["args"], job["timeout"], job["tags"], job["headers"]) == (
        job_id, {}, 90.0, ["x"], {"trace": 1},
    )  # fmt: skip
    assert job["created_at"].endswith("Z")
    assert "T" in job["created_at"]
    assert job["finished_at"] is None


def test_show_has_the_attempts_and_why(run, store):
    job_id = _failed(store, error="Traceback …\nValueError: sour")

    shown, as_json = run("jobs", "show", job_id), run("jobs", "show", job_id, "--json").json

    assert shown.code == 0
    assert "ValueError: sour" in shown.out
    assert as_json["state"] == "failed"
    assert as_json["attempts"][0]["error"].endswith("ValueError: sour")
    assert "failed" in as_json["why"]


def test_the_end_of_an_id_is_enough(run, store):
    job_id = _job(store)

    ran = run("jobs", "why", job_id[-8:])

    assert ran.code == 0
    assert ran.out.strip()
    assert run("jobs", "why", "…" + job_id[-12:], "--json").json["id"] == job_id
    assert run("jobs", "why", "ffffffffffff").code == 4


def test_verbs_do_what_they_say_to_the_ids_they_get(run, store):
    waiting, later, failed = _job(store), _job(store, delay="1h"), _failed(store, "f")

    cancelled = run("jobs", "cancel", waiting, "--json")
    now = run("jobs", "run-now", later)
    retried = run("jobs", "retry", failed)

    assert cancelled.json == {"found": 1, "cancelled": [waiting], "refused": []}
    assert (now.code, retried.code) == (0, 0)
    assert retried.out == f"retried {failed}\n"
    assert _states(store, waiting, later, failed) == ["cancelled", "ready", "ready"]


def test_what_cannot_be_done_is_refused_with_5(run, store):
    ready = _job(store)

    for verb in ("retry", "run-now"):
        ran = run("jobs", verb, ready)
        assert ran.code == 5
        assert f"job {ready} is ready" in ran.err


def test_a_running_job_is_not_deleted(run, store):
    job_id = _job(store)
    store.run(jobs.claim())

    ran = run("jobs", "delete", job_id)

    assert ran.code == 5
    assert "cancel it first" in ran.err


def test_filters_say_the_count_and_need_yes_off_a_terminal(run, store):
    failed = [_failed(store, queue="mail") for _ in range(3)]
    other = _failed(store, queue="other")

    asked = run("jobs", "retry", "--queue", "mail")
    dry = run("jobs", "retry", "--queue", "mail", "--dry-run", "--json")
    untouched = _states(store, *failed)
    done = run("jobs", "retry", "--queue", "mail", "--yes")

    assert asked.code == 5
    assert "retry 3 jobs?" in asked.err
    assert "--yes" in asked.err
    assert dry.json == {"found": 3, "retried": [], "refused": []}
    assert untouched == ["failed"] * 3
    assert done.code == 0
    assert _states(store, *failed, other) == ["ready"] * 3 + ["failed"]


@pytest.mark.parametrize(
    ("answer", "code", "state"), [("y\n", 0, "cancelled"), ("n\n", 130, "ready")]
)
def test_on_a_terminal_filters_ask(howdah, store, answer, code, state):
    job_id = _job(store, queue="mail")

    ran = howdah.on_terminal("jobs", "cancel", "--queue", "mail", answer=answer)

    assert "cancel 1 job? [y/N]" in ran.out
    assert ran.code == code
    assert _states(store, job_id) == [state]


def test_delete_by_filter_takes_all_but_running_ones(run, store):
    running = _job(store, queue="q")
    store.run(jobs.claim(queues=["q"]))
    _job(store, queue="q"), _job(store, queue="q", delay="1h"), _failed(store, "f", queue="q")

    ran = run("jobs", "delete", "--queue", "q", "--yes", "--json")

    assert len(ran.json["deleted"]) == 3
    assert [job["id"] for job in run("jobs", "list", "--json").json] == [running]


def test_nothing_found_is_nothing_done(run):
    ran = run("jobs", "delete", "--queue", "empty")

    assert (ran.code, ran.out) == (0, "")


def test_a_job_is_followed_to_its_end(howdah, run, db):
    job_id = on(db).enqueue(Job("t", "{}"))
    [job] = on(db).run(jobs.claim())
    on(db).run(jobs.progress(job.id, job.lease, 3, 12, "three"))

    following = howdah.start("jobs", "show", str(job_id), "--follow")
    following.until("3 of 12 (25 %): three")
    shown = run("jobs", "show", str(job_id)).out
    on(db).run(jobs.progress(job.id, job.lease, 1_234_567, 2_000_000))
    following.until("1,234,567 of 2,000,000 (61.7 %)")
    on(db).run(jobs.ack(job.id, job.lease))
    ended = following.ended()

    assert "progress  running" not in shown
    assert "3 of 12 (25 %): three" in shown
    assert ended.code == 0
    assert "succeeded" in ended.out


def test_a_job_that_is_taken_while_jobs_are_looked_for_is_found_once(store):
    job_id = _job(store)

    class Taking:
        async def run(self, call):
            found = store.run(call)
            store.run(jobs.claim())
            return found

    found = asyncio.run(matching(Taking(), ["ready", "running"], {}, 10))

    assert [str(each) for each in found] == [job_id]
