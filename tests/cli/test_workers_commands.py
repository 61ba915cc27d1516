"""`howdah workers …`: which workers are meant, what they are told, and what is shown of them."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import pytest

from howdah import jobs, workers
from howdah.client import on
from howdah.job import Job, make_options


@pytest.fixture
def crew(db) -> dict[str, UUID]:
    """Three workers that only the store knows."""
    ids = {name: uuid4() for name in ("web-1", "web-2", "batch")}
    for name, worker in ids.items():
        host, version = ("h2", "0.2.0") if name == "web-2" else ("h1", "0.1.0")
        on(db).run(workers.heartbeat(worker, name=name, host=host, version=version, slots=4))
    return ids


def told(db) -> dict[str, str]:
    return {worker.name: worker.control for worker in on(db).run(workers.list())}


WHOM = {
    "--name web-1": {"web-1"},
    "--name web-*": {"web-1", "web-2"},
    "--host h1": {"web-1", "batch"},
    "--version 0.2.0": {"web-2"},
    "--host h1 --name web-*": {"web-1"},
    "--all": {"web-1", "web-2", "batch"},
}


@pytest.mark.parametrize("verb", ["drain", "kill"])
@pytest.mark.parametrize("whom", WHOM)
def test_workers_are_told_by_name_host_or_version(run, db, crew, verb, whom):
    ran = run("workers", verb, *whom.split())

    count = len(WHOM[whom])
    assert ran.code == 0
    assert ran.err.startswith(f"told {count} worker{'s' if count > 1 else ''} to ")
    assert {name for name, word in told(db).items() if word == verb} == WHOM[whom]
    assert [*told(db).values()].count("go") == 3 - count


@pytest.mark.parametrize("whom", WHOM)
@pytest.mark.parametrize("verb", ["list", "status"])
def test_the_same_choice_is_listed_and_shown(run, crew, verb, whom):
    found = run("workers", verb, "--json", *whom.split()).json

    assert {worker["name"] for worker in found} == WHOM[whom]


@pytest.mark.parametrize("length", [6, 12, 36])
def test_a_worker_is_told_by_its_id_or_the_end_of_it(run, db, crew, length):
    ran = run("workers", "kill", str(crew["web-2"])[-length:])

    assert (ran.code, ran.err) == (0, "told 1 worker to leave\n")
    assert told(db) == {"web-1": "go", "web-2": "kill", "batch": "go"}


def test_an_end_that_several_ids_have_is_refused_with_what_they_are(run, db):
    pair = [UUID("00000000-0000-4000-8000-0000abcdef01"), UUID("11111111-0000-4000-8000-0000abcdef01")]  # fmt: skip  # noqa: E501
    for worker in pair:
        on(db).run(workers.heartbeat(worker, name="twin"))

    ran = run("workers", "drain", "abcdef01")

    assert ran.code == 5
    assert all(str(worker) in ran.err for worker in pair)
    assert told(db) == {"twin": "go"}


def test_a_kill_at_once_and_one_that_is_said_twice(run, db, crew):
    first = run("workers", "kill", "--name", "web-1", "--now")
    for _ in range(2):
        run("workers", "kill", "--name", "web-2")

    assert first.err == "told 1 worker to leave at once\n"
    assert told(db) == {"web-1": "now", "web-2": "now", "batch": "go"}


def test_a_drain_after_a_kill_tells_nobody_and_is_no_error(run, db, crew):
    run("workers", "kill", "--name", "batch")

    ran = run("workers", "drain", "--name", "batch")

    assert (ran.code, ran.err) == (0, "told 0 workers to drain\n")
    assert told(db)["batch"] == "kill"


@pytest.mark.parametrize("verb", ["drain", "kill", "status"])
@pytest.mark.parametrize(
    "whom", ["--name nobody", "abcdef01", "01a1fc22-0000-4000-8000-000000000000", "--name web"]
)
def test_a_worker_that_is_not_there_is_4(run, db, crew, verb, whom):
    ran = run("workers", verb, *whom.split())

    assert (ran.code, ran.out) == (4, "")
    assert "Run: howdah workers list" in ran.err
    assert {*told(db).values()} == {"go"}


def test_no_workers_at_all_are_nothing_to_tell_or_show(run):
    killed, shown, as_json = (
        run("workers", "kill", "--all"),
        run("workers", "status"),
        run("workers", "status", "--json"),
    )

    assert (killed.code, killed.err) == (0, "told 0 workers to leave\n")
    assert (shown.code, shown.err) == (0, "there are no workers\n")
    assert as_json.json == []


def test_the_status_says_who_a_worker_is_what_it_was_told_and_what_it_runs(run, db, crew):
    for queue in ("mail", "sums"):
        on(db).enqueue(Job("t", "{}", make_options(queue=queue)))
    held = on(db).run(jobs.claim(["mail", "sums"], 2, worker=crew["batch"]))
    run("workers", "drain", "--name", "batch")

    [batch] = run("workers", "status", "--name", "batch", "--json").json
    text = run("workers", "status", str(crew["batch"])).out
    everybody = run("workers", "status").out

    assert (batch["id"], batch["name"], batch["host"]) == (str(crew["batch"]), "batch", "h1")
    assert (batch["control"], batch["slots"], batch["queues"]) == ("drain", 4, ["*"])
    assert batch["started_at"] <= batch["beat_at"]
    assert {(job["id"], job["task"], job["queue"], job["attempt"]) for job in batch["jobs"]} == {
        (str(job.id), "t", job.queue, 1) for job in held
    }
    assert all(job["started_at"] for job in batch["jobs"])
    for fact in ("batch", "h1", "0.1.0", "drain", "2 in 4 slots", *(str(job.id) for job in held)):
        assert fact in text
    assert all(str(worker) in everybody for worker in crew.values())


@pytest.mark.parametrize(
    ("verb", "limit"), [("drain", "however long they take"), ("kill", "25s at most")]
)
def test_a_real_worker_is_told_by_the_end_of_its_id_and_ends_what_it_runs(howdah, db, verb, limit):
    worker = howdah.start("worker", "--import", "work", "-p", "1", "--name", "ann")
    worker.until("tasks    3")
    [ann] = on(db).run(workers.list())
    job_id = on(db).enqueue(Job("work.wait", '{"seconds": 1.5}'))
    while not on(db).run(workers.running([ann.id])):
        time.sleep(0.01)

    ran = howdah("workers", verb, str(ann.id)[-6:])
    left = worker.ended()

    assert (ran.code, left.code) == (0, 0)
    assert f"stopping ({verb}); waits for 1 job, {limit}" in left.err
    assert on(db).run(jobs.get(job_id)).state == "succeeded"
