"""Queues, workers, tasks, chores, config and doctor."""

from __future__ import annotations

import json

from howdah import queues, store
from howdah.client import on
from howdah.job import Job, make_options


def test_queues_are_listed_paused_and_resumed(run, db):
    on(db).enqueue(Job("t", "{}", make_options(queue="mail")))

    paused, again = run("queues", "pause", "mail"), run("queues", "pause", "mail")
    listed = run("queues", "list", "--json").json
    resumed = run("queues", "resume", "mail")

    assert (paused.err, again.err) == ("mail is paused\n", "mail was paused already\n")
    assert [(q["queue"], q["paused"], q["ready"]) for q in listed] == [("mail", True, 1)]
    assert resumed.code == 0
    assert on(db).run(queues.list())[0].paused is False


def test_workers_are_listed_and_drained_by_name(howdah):
    worker = howdah.start(
        "worker", "--import", "work", "-p", "1", "--name", "ann", "-q", "mail:3", "-q", "x*",
        "-c", "5",
    )  # fmt: skip
    worker.until("tasks    3")

    listed = howdah("workers", "list", "--json").json
    drained = howdah("workers", "drain", "--name", "ann")
    left = worker.ended()

    assert [(w["name"], w["slots"], w["queues"]) for w in listed] == [("ann", 8, ["mail", "x*"])]
    assert drained.code == 0
    assert left.code == 0
    assert "stopping (drain)" in left.err
    assert howdah("workers", "list", "--json").json == []


def test_declared_tasks_are_listed(run, db):
    on(db).run(store.declare_tasks(json.dumps([{"name": "a.b", "queue": "mail", "priority": 2}])))

    assert [
        (t["name"], t["queue"], t["priority"]) for t in run("tasks", "list", "--json").json
    ] == [("a.b", "mail", 2)]
    assert "a.b" in run("tasks", "list").out


def test_chores_say_what_they_found(run, db, clock):
    on(db).enqueue(Job("t", "{}", make_options(delay="1m")))
    clock.forward("2 minutes")

    assert run("chores", "stage", "--json").json == {"stage": 1}
    everything = run("chores", "--json").json
    assert "rescue" in everything
    assert all(run("chores", chore).code == 0 for chore in everything)


def test_config_says_each_value_and_where_it_came_from(run, project, monkeypatch):
    (project / "howdah.toml").write_text("slots = 7\n")
    monkeypatch.setenv("HOWDAH_LISTEN_URL", "postgresql://u:s3cret@db/x")

    told = run("config", "--json").json

    assert told["slots"] == {"value": 7, "source": "howdah.toml"}
    assert told["database_url"]["source"] == "environment (DATABASE_URL)"
    assert told["listen_url"]["value"] == "postgresql://u:***@db/x"
    assert told["schema"] == {"value": "howdah", "source": "default"}
    assert "s3cret" not in run("config").out


def test_a_wrong_setting_is_refused_with_2(run, monkeypatch):
    monkeypatch.setenv("HOWDAH_SLOTS", "many")

    ran = run("config")

    assert ran.code == 2
    assert "slots" in ran.err


def test_the_doctor_finds_a_healthy_database_healthy(run, own_dsn, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", own_dsn)

    ran = run("doctor", "--json")

    verdicts = {finding["about"]: finding["verdict"] for finding in ran.json}
    assert ran.code == 0
    assert verdicts == {
        "connection": "ok", "server": "ok", "encryption": "ok", "writes": "ok",
        "schema": "ok", "notifications": "ok",
        "pooler": "ok", "clocks": "ok", "autovacuum": "ok", "durability": "warn",
        "transactions": "ok", "stuck jobs": "ok", "partitions": "ok",
    }  # fmt: skip


def test_the_doctor_says_what_fails_and_ends_with_1(run, empty_dsn, monkeypatch):
    monkeypatch.setenv(
        "DATABASE_URL", f"{empty_dsn}&options=-c%20default_transaction_read_only%3Don"
    )

    ran = run("doctor")

    assert ran.code == 1
    assert "fail  schema" in ran.out
    assert "Run: howdah db migrate" in ran.out
    assert "fail  writes" in ran.out


def test_the_doctor_sees_stuck_jobs(run, db, clock):
    on(db).enqueue(Job("t", "{}", make_options(timeout="1s")))
    db.execute("select * from howdah.claim()")
    clock.forward("1 hour")

    stuck = next(f for f in run("doctor", "--json").json if f["about"] == "stuck jobs")

    assert stuck["verdict"] == "warn"
    assert stuck["found"].startswith("1 job")
