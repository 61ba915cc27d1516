"""Schedules that code declares, kept and fired by workers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from howdah import App, schedules
from howdah.context import Context
from howdah.errors import BadArguments, BadInput, Conflict
from howdah.events import Declarations, ScheduleFailed


def declare(app: App) -> list[dict[str, object]]:
    ran: list[dict[str, object]] = []

    @app.schedule(every="1s", args={"word": "hi"})
    @app.task(name="greet", queue="post")
    async def greet(context: Context, word: str) -> None:
        ran.append({"word": word, **context.headers})

    return ran


async def test_a_declared_schedule_runs_its_task_each_tick(app, store, eventually):
    ran = declare(app)

    async with app.worker():
        await eventually(lambda: len(ran) >= 3)

    ticks = [datetime.fromisoformat(str(each["tick"])) for each in ran[:3]]
    assert [b - a for a, b in pairwise(ticks)] == [timedelta(seconds=1)] * 2
    assert {(each["word"], each["schedule"]) for each in ran} == {("hi", "greet")}


@pytest.mark.slow
async def test_a_tick_starts_its_job_within_a_quarter_of_a_second(app, eventually):
    started: list[float] = []

    @app.schedule("* * * * * *")
    @app.task(name="tick")
    async def tick(context: Context) -> None:
        due = datetime.fromisoformat(str(context.headers["tick"]))
        started.append((datetime.now(UTC) - due).total_seconds())

    async with app.worker():
        await eventually(lambda: len(started) >= 4)

    assert sorted(started)[1] < 0.25
    assert min(started) >= 0


async def test_three_workers_fire_each_tick_once(app, store, eventually):
    """MQ-12: an RRULE by the second; three workers, one of which leaves."""
    await app.run(
        schedules.put(
            schedules.make_schedule("s", greet_job(app), rrule="FREQ=SECONDLY", missed="all")
        )
    )

    async with app.worker(), app.worker():
        async with app.worker():
            await eventually(lambda: store.one("select count(*) from howdah.ticks") >= 2)
        await eventually(lambda: store.one("select count(*) from howdah.ticks") >= 4)

    spread = store.one("select extract(epoch from max(tick) - min(tick)) + 1 from howdah.ticks")
    assert spread == store.one("select count(*) from howdah.ticks")
    assert spread == store.one("select count(*) from howdah.jobs")


async def test_a_counted_rule_ends(app, store, eventually):
    rule = schedules.make_schedule("s", greet_job(app), rrule="FREQ=SECONDLY;COUNT=2")
    await app.run(schedules.put(rule))

    async with app.worker():
        await eventually(lambda: store.one("select ended from howdah.schedules"))

    assert store.one("select count(*) from howdah.jobs") == 2


def greet_job(app: App):
    async def nothing() -> None: ...

    return app.task(name="greet")(nothing).job()


async def test_what_is_not_declared_any_more_is_reported_and_goes_on(dsn, store, seen):
    old, new = App(dsn), App(dsn)
    declare(old)

    async def greet(word: str) -> None: ...

    new.task(name="greet")(greet)
    told_old, told_new = seen(old, Declarations), seen(new, Declarations)

    async with old, old.worker():
        pass
    async with new, new.worker():
        pass

    assert [event.changes for event in told_old] == [(("greet", "new"),)]
    assert [event.changes for event in told_new] == [(("greet", "vanished"),)]
    assert store.one("select vanished_at is not null and not paused from howdah.schedules")


async def test_what_the_database_has_of_its_own_is_kept(app, store, seen):
    declare(app)
    told = seen(app, Declarations)
    await app.run(schedules.put(schedules.make_schedule("greet", greet_of(app), "0 8 * * *")))

    async with app.worker():
        pass

    assert [event.changes for event in told] == [(("greet", "kept"),)]
    assert store.one("select rule from howdah.schedules") == "0 8 * * *"


def greet_of(app: App):
    return app.tasks["greet"].job_of('{"word": "ho"}')


async def test_a_broken_rule_is_told(app, store, seen, eventually):
    told = seen(app, ScheduleFailed)
    store.one("select howdah.put_schedule('s', 'mail', cron => '0 0 31 2 *')")

    async with app.worker():
        await eventually(lambda: told)

    assert told[0].schedule == "s"


async def test_without_schedules_nobody_asks_for_due_ones(app, monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(schedules, "due", asked.append)

    async with app.worker():
        await asyncio.sleep(0)

    assert asked == []


def test_a_schedule_makes_a_task_of_a_plain_function(app):
    @app.schedule("0 8 * * *", tz="Europe/Berlin")
    async def report() -> None: ...

    assert app.schedules[report.name].job.task == report.name
    assert app.tasks[report.name] is report
    with pytest.raises(BadInput, match="is a task already"):
        app.task(report)


def test_what_cannot_be_declared_is_refused(app):
    @app.task(name="greet")
    async def greet(word: str) -> None: ...

    with pytest.raises(BadArguments):
        app.schedule("0 8 * * *", args={"wort": 1})(greet)
    with pytest.raises(BadInput):
        app.schedule("0 8 * * *", every="5m", args={"word": "x"})(greet)
    with pytest.raises(BadInput):
        app.schedule("0 8 * * *")(lambda: None)
    with pytest.raises(BadInput):
        app.schedule("0 8 * * *", tz="Mars/Olympus", args={"word": "x"})(greet)
    app.schedule("0 8 * * *", args={"word": "x"})(greet)
    with pytest.raises(Conflict):
        app.schedule("0 9 * * *", args={"word": "x"})(greet)
    app.schedule("0 9 * * *", name="later", args={"word": "x"})(greet)
