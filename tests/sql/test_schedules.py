"""Schedules at the SQL door: put, found to be due, fired by compare and insert."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import psycopg
import pytest

from howdah.errors import BadInput
from howdah.firing import fire_due, plan
from howdah.schedules import Due
from howdah.ticks import rule


@pytest.fixture
def fire(app) -> Callable[[], Any]:
    """Fires what is due, as a worker does; gives how many jobs it made."""
    return lambda: fire_due(app.run)


@pytest.fixture
def at_second(db, clock):
    """The store's clock stands at a tenth of a second past a whole minute, from now on."""

    def stand(text: str) -> None:
        db.execute(
            "create or replace function _howdah.clock() returns timestamptz language sql volatile"
            f" parallel safe return timestamptz '{text}'"
        )

    return stand


def due(door) -> list[Due]:
    names = [*Due.__struct_fields__]
    columns = ", ".join(names)
    rows = door.rows(f"select {columns} from howdah.due_schedules('{{cron,every,rrule}}')")
    return [Due(**dict(zip(names, row, strict=True))) for row in rows]


def jobs_of(door, name):
    return door.rows(
        "select id, headers ->> 'tick' as tick, state, task, queue, args from howdah.jobs"
        " where headers ->> 'schedule' = %s order by headers ->> 'tick', id",
        name,
    )


async def test_a_schedule_makes_a_job_of_each_tick(door, fire, at_second):
    at_second("2030-01-01 08:00:00.1+00")
    door.call("put_schedule", name="every", task="mail", every="20 s", args={"to": 7}, queue="post")
    await fire()

    at_second("2030-01-01 08:00:45+00")
    made = await fire()

    assert made == 2
    assert [job.tick[11:19] for job in jobs_of(door, "every")] == ["08:00:20", "08:00:40"]
    assert {(job.task, job.queue, job.args["to"]) for job in jobs_of(door, "every")} == {
        ("mail", "post", 7)
    }
    assert door.one("select next_at from howdah.schedules").isoformat()[11:21] == "08:01:00.1"


def test_a_tick_is_fired_once_whoever_else_has_worked_it_out(door, another_door, at_second):
    at_second("2030-01-01 08:00:00+00")
    door.call("put_schedule", name="hourly", task="mail", cron="0 * * * *")
    at_second("2030-01-01 09:00:01+00")
    [found] = due(door)
    todo = plan(found)
    call = {
        "name": found.name, "revision": found.revision, "handled": found.handled,
        "ticks": todo.ticks, "upto": todo.upto, "next_at": todo.next_at,
    }  # fmt: skip

    first = door.call("fire", **call)
    second = another_door().call("fire", **call)

    assert (len(first), len(second)) == (1, 0)
    assert len(jobs_of(door, "hourly")) == 1


def test_a_tick_that_an_open_transaction_fires_is_left_to_it(door, another_door, at_second):
    at_second("2030-01-01 08:00:00+00")
    door.call("put_schedule", name="hourly", task="mail", cron="0 * * * *")
    at_second("2030-01-01 09:00:01+00")
    [found] = due(door)
    todo = plan(found)
    call = {
        "name": found.name, "revision": found.revision, "handled": found.handled,
        "ticks": todo.ticks, "upto": todo.upto, "next_at": todo.next_at,
    }  # fmt: skip

    with door.transaction():
        door.call("fire", **call)
        other = Thread(target=another_door().call, args=("fire",), kwargs=call)
        other.start()
        other.join(2)  # it does not wait for the first
    other.join()

    assert len(jobs_of(door, "hourly")) == 1


def test_the_store_refuses_the_same_tick_in_another_round(door, at_second):
    at_second("2030-01-01 08:00:00+00")
    door.call("put_schedule", name="hourly", task="mail", cron="0 * * * *")
    at_second("2030-01-01 09:00:01+00")
    [found] = due(door)
    door.rows(
        "insert into _howdah.tick (schedule, tick, fired_at)"
        " values ('hourly', '2030-01-01 09:00+00', now())"
    )

    made = door.call(
        "fire", name="hourly", revision=found.revision, handled=found.handled,
        ticks=plan(found).ticks, upto=found.moment, next_at=None,
    )  # fmt: skip

    assert made == []
    assert jobs_of(door, "hourly") == []


def test_who_is_told_of_a_due_schedule_has_two_seconds_for_it(door, at_second):
    at_second("2030-01-01 08:00:00+00")
    door.call("put_schedule", name="hourly", task="mail", cron="0 * * * *")

    told, others, later = due(door), due(door), []
    at_second("2030-01-01 08:00:03+00")
    later = due(door)

    assert [len(told), len(others), len(later)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("missed", "within", "ticks"),
    [("skip", "1 day", []), ("one", "1 day", ["08:10"]), ("one", "20 s", []),
     ("all", "1 day", [f"08:{minute:02}" for minute in range(1, 11)]),
     ("all", "150 s", ["08:09", "08:10"])],
)  # fmt: skip
async def test_missed_ticks_go_by_the_policy(door, fire, at_second, missed, within, ticks):
    at_second("2030-01-01 08:00:10+00")
    door.call(
        "put_schedule", name="s", task="mail", cron="* * * * *", missed=missed, missed_within=within
    )
    await fire()

    at_second("2030-01-01 08:10:30+00")
    await fire()
    at_second("2030-01-01 08:11:02+00")
    await fire()

    assert [job.tick[11:16] for job in jobs_of(door, "s")] == [*ticks, "08:11"]


async def test_ticks_within_a_minute_are_not_missed(door, fire, at_second):
    at_second("2030-01-01 08:00:10+00")
    door.call("put_schedule", name="s", task="mail", every="10 s", missed="skip")
    await fire()

    at_second("2030-01-01 08:01:09+00")
    await fire()

    assert len(jobs_of(door, "s")) == 5


@pytest.mark.parametrize(
    ("overlap", "states"),
    [("allow", ["ready", "ready"]), ("skip", ["ready"]), ("replace", ["cancelled", "ready"])],
)
async def test_overlapping_jobs_go_by_the_policy(door, fire, at_second, overlap, states):
    at_second("2030-01-01 08:00:10+00")
    door.call("put_schedule", name="s", task="mail", cron="* * * * *", overlap=overlap)
    await fire()

    for minute in ("01", "02"):
        at_second(f"2030-01-01 08:{minute}:01+00")
        await fire()

    assert sorted(job.state for job in jobs_of(door, "s")) == states
    assert door.one("select count(*) from howdah.ticks") == 2


async def test_a_paused_schedule_fires_nothing_and_makes_up_for_nothing(door, fire, at_second):
    at_second("2030-01-01 08:00:10+00")
    door.call("put_schedule", name="s", task="mail", cron="* * * * *", missed="all")
    await fire()

    paused = door.value("pause_schedule", name="s")
    at_second("2030-01-01 08:05:01+00")
    await fire()
    job = door.value("run_schedule", name="s")
    resumed = door.value("resume_schedule", name="s")
    await fire()
    at_second("2030-01-01 08:06:01+00")
    await fire()

    assert (paused, resumed, door.value("resume_schedule", name="s")) == (True, True, False)
    assert jobs_of(door, "s")[0].id == job
    assert [job.tick[11:19] for job in jobs_of(door, "s")] == ["08:05:01", "08:06:00"]


async def test_a_schedule_that_is_put_unchanged_goes_on_and_a_changed_one_starts_anew(
    door, fire, at_second
):
    at_second("2030-01-01 08:00:00+00")
    door.call("put_schedule", name="s", task="mail", every="10 min")
    await fire()

    at_second("2030-01-01 08:04:00+00")
    same = door.value("put_schedule", name="s", task="mail", every="10 min")
    other_task = door.value("put_schedule", name="s", task="post", every="10 min")
    await fire()
    kept = door.one("select next_at from howdah.schedules").isoformat()[11:16]
    other_rule = door.value("put_schedule", name="s", task="post", every="20 min")
    await fire()

    assert (same, other_task, other_rule) == (False, True, True)
    assert kept == "08:10"
    assert door.one("select next_at from howdah.schedules").isoformat()[11:16] == "08:24"


async def test_a_rule_that_cannot_be_read_is_seen_and_keeps_no_other_waiting(door, fire, at_second):
    at_second("2030-01-01 08:00:10+00")
    door.call("put_schedule", name="a", task="mail", cron="0 0 31 2 *")
    door.call("put_schedule", name="b", task="mail", cron="* * * * *")

    await fire()
    at_second("2030-01-01 08:01:00+00")
    await fire()

    assert "no cron line" in door.one("select error from howdah.schedules where name = 'a'")
    assert len(jobs_of(door, "b")) == 1


async def test_a_clock_set_back_fires_nothing_twice(door, fire, at_second):
    at_second("2030-01-01 08:00:10+00")
    door.call("put_schedule", name="s", task="mail", cron="* * * * *", missed="all")
    await fire()

    for minute in ("05:30", "02:30", "05:45", "06:00"):
        at_second(f"2030-01-01 08:{minute}+00")
        await fire()

    found = [job.tick[11:16] for job in jobs_of(door, "s")]
    assert found == ["08:01", "08:02", "08:03", "08:04", "08:05", "08:06"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cron": "0 8 * * *", "every": "1 h"},
        {"cron": "0 8 * *"},
        {"cron": "x" * 10_240},
        {"rrule": "whenever"},
        {"every": "1 month"},
        {"every": "0.2 s"},
        {"cron": "0 8 * * *", "tz": "Mars/Olympus"},
        {"cron": "0 8 * * *", "missed": "some"},
        {"cron": "0 8 * * *", "overlap": "both"},
        {"cron": "0 8 * * *", "task": "a*"},
        {"cron": "0 8 * * *", "priority": 2**40},
        {"cron": "0 8 * * *", "name": ""},
    ],
)
def test_what_cannot_be_a_schedule_is_refused(door, options):
    with pytest.raises(psycopg.Error) as refused:
        door.call("put_schedule", **{"name": "s", "task": "mail", **options})

    assert refused.value.sqlstate == "JQ001"
    assert door.one("select count(*) from howdah.schedules") == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("61 * * * *", "'61' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 8 0 * *", "'0' is no day of the month"),
        ("0 8 * MAI *", "'MAI' is no month"),
        ("0 8 * * MON-FRY", "'MON-FRY' is no day of the week"),
        ("60 0 8 * * *", "'60' is no second"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("1,,2 * * * *", "'1,,2' is no minute"),
        ("hello to you all there", "'hello' is no minute"),
        ("@daily", "it has five fields"),
        ("", "it has five fields"),
    ],
)
def test_a_wrong_cron_line_is_refused_where_it_is_put_with_what_is_wrong(door, line, said):
    with pytest.raises(psycopg.Error) as refused:
        door.call("put_schedule", name="s", task="mail", cron=line)

    assert said in refused.value.diag.message_primary
    assert "'0 8 * * *' is daily at 8" in refused.value.diag.message_hint
    assert door.one("select count(*) from howdah.schedules") == 0


PIECES = "* / - , # 0 00 1 5 7 8 12 13 23 24 31 32 59 60 007 L l W LW 5L mon SUN jan DEC"


def test_what_the_workers_can_read_is_not_refused(door):
    chance = random.Random(1)
    lines = {_line(chance) for _ in range(20_000)}
    readable = [line for line in lines if _is_readable(line)]
    assert len(readable) > 500

    refused = door.rows(
        "select line, _howdah.cron_flaw(line) as flaw from unnest(%s::text[]) line"
        " where _howdah.cron_flaw(line) is not null",
        readable,
    )

    assert refused == []


def _line(chance):
    """One of five or six fields, of which one is made of pieces at random."""
    fields = ["*"] * chance.choice([5, 6])
    pieces = chance.choices(PIECES.split(), k=chance.randint(1, 5))
    fields[chance.randrange(len(fields))] = "".join(pieces)
    return chance.choice([" ", "\t", "  "]).join(fields)


def _is_readable(line):
    try:
        rule("cron", line, starts_at=datetime.now(UTC))
    except BadInput:
        return False
    return True


def test_what_is_not_there_is_said(door):
    for verb in ("pause_schedule", "resume_schedule", "run_schedule"):
        with pytest.raises(psycopg.Error) as refused:
            door.value(verb, name="none")
        assert refused.value.sqlstate == "JQ004"
    assert door.value("delete_schedule", name="none") is False


def test_a_heartbeat_says_when_the_next_tick_is_due(door, at_second):
    at_second("2030-01-01 08:00:10+00")
    worker = door.worker()
    before = door.beat(worker).next_tick_in

    door.call("put_schedule", name="s", task="mail", cron="* * * * *")
    unknown = door.beat(worker).next_tick_in
    [found] = due(door)
    taken = door.beat(worker).next_tick_in
    todo = plan(found)
    door.call(
        "fire",
        name="s",
        revision=found.revision,
        handled=found.handled,
        ticks=[],
        upto=found.handled,
        next_at=todo.next_at,
    )
    known = door.beat(worker).next_tick_in

    assert before is None
    assert (unknown, taken, known) == (timedelta(0), timedelta(seconds=2), timedelta(seconds=50))


async def test_twenty_at_once_fire_each_tick_once(door, app, at_second):
    at_second("2030-01-01 08:00:10+00")
    for n in range(3):
        door.call("put_schedule", name=f"s{n}", task="mail", every="1 s")

    await asyncio.gather(*(fire_due(app.run) for _ in range(20)))
    at_second("2030-01-01 08:00:40+00")
    made = await asyncio.gather(*(fire_due(app.run) for _ in range(20)))

    assert sum(made) == 90
    assert (
        door.one(
            "select count(distinct (headers ->> 'schedule', headers ->> 'tick')) from howdah.jobs"
        )
        == 90
    )


def test_ticks_leave_with_history(door, clock):
    door.rows(
        "insert into _howdah.tick (schedule, tick, fired_at)"
        " values ('s', now(), now() - interval '8 days'), ('s', now() - interval '1 h', now())"
    )

    door.chores("prune")

    assert door.one("select count(*) from howdah.ticks") == 1


@pytest.mark.parametrize(
    "rule",
    [
        {"cron": "* * * * *"},
        {"every": "60 s"},
        {"rrule": "FREQ=MINUTELY"},
        {"rrule": "DTSTART:20290101T000000\nFREQ=MINUTELY"},
    ],
    ids=["cron", "every", "rrule", "rrule from another time on"],
)
async def test_nothing_is_fired_before_it_starts(door, fire, at_second, rule):
    at_second("2030-01-01 08:00:00+00")
    door.call("put_schedule", name="s", task="mail", starts_at="2030-01-02 09:00:00+00", **rule)

    early = await fire()
    at_second("2030-01-02 08:59:59+00")
    early += await fire()
    at_second("2030-01-02 09:01:00+00")
    made = await fire()

    assert (early, made) == (0, 2)
    assert [job.headers["tick"][11:16] for job in door.claim(5)] == ["09:00", "09:01"]
