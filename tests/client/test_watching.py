"""app.watch: ids and states as they change."""

from __future__ import annotations

import asyncio
from uuid import UUID

from howdah.watching import Change, changes_of


async def test_changes_are_told_and_go_on_after_a_lost_connection(app, db, eventually):
    @app.task(name="quick", queue="mail")
    async def quick() -> None: ...

    told: list[Change] = []

    async def watch() -> None:
        async for change in app.watch("mail"):
            told.append(change)  # noqa: PERF401 - seen while it goes on

    watching = asyncio.create_task(watch())
    listening = (
        "select pid from pg_stat_activity"
        " where application_name = 'howdah watch' and query like 'LISTEN%' and state = 'idle'"
    )
    await eventually(lambda: db.execute(listening).fetchone())
    first = await quick.enqueue()
    await eventually(lambda: Change(first, "ready") in told)
    lost = db.execute(listening).fetchall()
    db.execute("select pg_terminate_backend(%s)", lost[0])
    await eventually(lambda: {*db.execute(listening).fetchall()} - {*lost})  # another one
    async with app.worker() as worker:
        await worker.idle()
        await eventually(lambda: Change(first, "succeeded") in told)
    watching.cancel()

    assert [change.state for change in told if change.id == first] == [
        "ready",
        "running",
        "succeeded",
    ]


def test_what_others_say_on_the_channel_is_nothing():
    assert changes_of("hello world, you") == []
    assert changes_of("") == []
    assert changes_of(f"ready {UUID(int=1)}") == [Change(UUID(int=1), "ready")]
