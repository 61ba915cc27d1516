"""What dpq promised of repeated tasks, with schedules: DPQ-14 and DPQ-15."""

from __future__ import annotations

from typing import Any

import pytest

from howdah.firing import fire_due


@pytest.fixture
def at(db: Any, clock: Any) -> Any:
    """The store's clock stands at this moment, from now on."""

    def stand(text: str) -> None:
        db.execute(
            "create or replace function _howdah.clock() returns timestamptz language sql volatile"
            f" parallel safe return timestamptz '{text}'"
        )

    return stand


def ticks(door: Any) -> list[str]:
    found = door.rows("select headers ->> 'tick' as tick from howdah.jobs order by 1")
    return [row.tick[:19] for row in found]


async def test_dpq_14_a_run_that_fails_ends_no_chain_and_runs_do_not_overlap(
    door: Any, app: Any, at: Any
) -> None:
    at("2030-01-01 08:00:00+00")
    door.call("put_schedule", name="s", task="t", every="1 s", overlap="skip", max_attempts=1)
    ran = []
    for second in range(1, 6):
        at(f"2030-01-01 08:00:0{second}+00")
        await fire_due(app.run)
        jobs = door.claim(5)
        if second in {2, 4}:  # these runs take until the next tick
            ran += jobs
            await fire_due(app.run)
            continue
        for job in [*jobs, *ran]:
            door.nack(job, error="no") if second == 3 else door.ack(job)
        ran = []

    assert ticks(door) == [f"2030-01-01T08:00:0{second}" for second in (1, 2, 4)]
    assert {row.state for row in door.rows("select state from howdah.jobs")} == {
        "succeeded",
        "failed",
    }


@pytest.mark.parametrize(("missed", "runs"), [("all", 10), ("one", 1), ("skip", 0)])
async def test_dpq_14_ten_seconds_without_a_scheduler_go_by_the_policy(
    door: Any, app: Any, at: Any, missed: str, runs: int
) -> None:
    at("2030-01-01 08:00:00+00")
    door.call(
        "put_schedule", name="s", task="t", every="1 s", missed=missed, missed_after="1 second"
    )

    at("2030-01-01 08:00:10+00")
    await fire_due(app.run)

    assert len(ticks(door)) == runs


async def test_dpq_15_a_time_of_the_day_in_denver_over_the_end_of_summer_time(
    door: Any, another_door: Any, app: Any, at: Any
) -> None:
    """Two schedulers look; the one that is told of a tick dies each time, before it fires."""
    at("2019-11-02 01:30:00+00")
    door.call("put_schedule", name="s", task="t", cron="0 8 * * *", tz="America/Denver")
    killed = another_door()

    for day in (2, 3, 4, 5):
        if day == 5:
            door.call("delete_schedule", name="s")
        for hour in (13, 14, 15):
            at(f"2019-11-{day:02} {hour:02}:00:01+00")
            killed.call("due_schedules", kinds=["cron"])
            await fire_due(app.run)
            at(f"2019-11-{day:02} {hour:02}:00:04+00")
            await fire_due(app.run)

    assert ticks(door) == ["2019-11-02T14:00:00", "2019-11-03T15:00:00", "2019-11-04T15:00:00"]
