"""Pages of docs/how-to, followed: what they show runs, and does what they say."""

from __future__ import annotations

import asyncio
from typing import Any

from reading import a_worker_of


async def test_events(reading: Any, dsn: str, store: Any, eventually: Any) -> None:
    reader = reading("docs/how-to/events.md", dsn)
    reader.beside = a_worker_of(reader)

    said = await reader.follow()

    assert "user.created {'id': 7}" in said
    assert {*store.rows("select task, state from howdah.jobs")} == {
        (f"{reader.module}.welcome", "succeeded"), ("jobs.index", "scheduled"),
    }  # fmt: skip
    sent: list[dict[str, str]] = []
    watching = asyncio.create_task(reader.names["pass_on"](Socket(sent)))
    await eventually(lambda: sent or store.enqueue("any", queue="mail"))
    watching.cancel()
    await reader.names["app"].close()


class Socket:
    def __init__(self, sent: list[Any]) -> None:
        self.sent = sent

    async def send_json(self, what: Any) -> None:
        self.sent.append(what)


async def test_keyed_work(reading: Any, dsn: str, store: Any) -> None:
    reader = reading("docs/how-to/keyed-work.md", dsn)
    reader.beside = a_worker_of(reader)

    said = await reader.follow()

    assert "page 0 of account 7" in said
    assert "account:7" in said
    assert store.one("select cursor ->> 'page' from howdah.cursors where key = 'account:7'") == "0"
    assert store.one("select fair_by from howdah.queues where queue = 'mail'") == "{tenant}"
    await reader.names["app"].close()


async def test_schedules(reading: Any, dsn: str, store: Any) -> None:
    reader = reading("docs/how-to/schedules.md", dsn)

    said = await reader.follow()

    assert "Europe/Berlin" in said
    assert store.one("select count(*) from howdah.jobs where task = 'jobs.clean'") == 1
    assert store.rows("select name from howdah.schedules order by 1") == [
        ("mondays",), ("nightly",), ("often",),
    ]  # fmt: skip


async def test_task_versions(reading: Any, dsn: str, store: Any) -> None:
    reader = reading("docs/how-to/task-versions.md", dsn)
    reader.beside = a_worker_of(reader)

    await reader.follow()

    assert store.states() == {"succeeded": 3}
    await reader.names["app"].close()


async def test_workflows(reading: Any, dsn: str, store: Any) -> None:
    reader = reading("docs/how-to/workflows.md", dsn)
    reader.beside = a_worker_of(reader)

    await reader.follow()
    assert store.rows("select name, state from howdah.workflows order by created_at") == [
        ("order", "succeeded"), ("images, report", "running"),
    ]  # fmt: skip
    assert store.states() == {"succeeded": 7, "ready": 5, "blocked": 3}
    amount = "select args -> 'amount' from howdah.jobs where task like '%%.ship'"
    assert store.one(amount) == 30
    await reader.names["app"].close()
