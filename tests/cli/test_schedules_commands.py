"""`howdah schedules`: put, list, next, pause, resume, run, delete; and fired by `howdah chores`."""

from __future__ import annotations

import pytest


def test_a_schedule_is_put_listed_paused_run_and_deleted(run, db):
    put = run(
        "schedules", "put", "daily", "mail", '{"to": 7}', "--cron", "0 8 * * *",
        "--tz", "Europe/Berlin", "-q", "post",
    )  # fmt: skip
    again = run("schedules", "put", "daily", "mail", '{"to": 7}', "--cron", "0 8 * * *",
                "--tz", "Europe/Berlin", "-q", "post")  # fmt: skip
    paused = run("schedules", "pause", "daily")
    [listed] = run("schedules", "list", "--json").json
    job = run("schedules", "run", "daily").out.strip()
    resumed = run("schedules", "resume", "daily")
    deleted = run("schedules", "delete", "daily")

    assert (put.err, again.err) == ("daily is put\n", "daily was just so already\n")
    assert (paused.err, resumed.err) == ("daily is paused\n", "daily goes on\n")
    assert (listed["rule"], listed["tz"], listed["args"]) == (
        "0 8 * * *",
        "Europe/Berlin",
        {"to": 7},
    )
    assert run("jobs", "show", job, "--json").json["queue"] == "post"
    assert deleted.err == "daily is deleted\n"
    assert run("schedules", "list", "--json").json == []


def test_the_next_ticks_are_told_on_the_clock_of_the_zone(run):
    run("schedules", "put", "daily", "mail", "--cron", "30 8 * * *", "--tz", "Asia/Kathmandu")

    lines = run("schedules", "next", "daily", "-n", "3").out.splitlines()

    assert [line[11:] for line in lines] == ["08:30:00+05:45"] * 3


def test_a_schedule_starts_when_it_is_told_to(run):
    put = ("schedules", "put", "later", "mail", "--every", "1h", "--starts-at")

    first, again = (run(*put, "2100-01-01T08:00:00+02:00") for _ in range(2))

    assert (first.err, again.err) == ("later is put\n", "later was just so already\n")
    assert run("schedules", "next", "later", "-n", "2").out.splitlines() == [
        "2100-01-01T06:00:00+00:00",
        "2100-01-01T07:00:00+00:00",
    ]


def test_chores_fire_what_is_due(run, db, clock):
    run("schedules", "put", "often", "mail", "--every", "30s", "--missed", "all")
    first = run("chores", "schedules", "--json").json
    clock.forward("100 seconds")

    assert first == {"schedules": 0}
    assert run("chores", "--json").json["schedules"] == 3


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("put", "s", "mail"), 2),
        (("put", "s", "mail", "--cron", "0 0 31 2 *"), 2),
        (("put", "s", "mail", "--cron", "0 8 * * *", "--tz", "Mars/Olympus"), 2),
        (("put", "s", "mail", "[]", "--every", "5m"), 2),
        (("put", "s", "mail", "--rrule", "FREQ=DAILY;COUNT=1;UNTIL=20300101T000000Z"), 2),
        (("put", "s", "mail", "--every", "5m", "--starts-at", "2100-01-01T08:00:00"), 2),
        (("next", "none"), 4),
        (("pause", "none"), 4),
        (("run", "none"), 4),
        (("delete", "none"), 4),
    ],
)
def test_what_cannot_be_done_is_said(run, words, code):
    refused = run("schedules", *words)

    assert refused.code == code
    assert refused.err
