"""An enqueue whose answer was lost: the client does not guess; an id makes it safe to repeat."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from howdah import App
from howdah.errors import NoDatabase


@pytest.fixture
def lose_answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From now on the store does what it is asked, and the answer is lost, so many times."""
    fetch = asyncpg.Connection.fetch
    left = [0]

    async def fetched(self: Any, *args: Any, **options: Any) -> Any:
        answer = await fetch(self, *args, **options)
        if left[0] and "enqueue" in args[0]:
            left[0] -= 1
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(asyncpg.Connection, "fetch", fetched)
    return lambda times: left.__setitem__(0, times)


async def test_it_is_not_repeated_behind_the_callers_back(
    app: App, db: psycopg.Connection, lose_answers: Any
) -> None:
    job = app.task(name="t")(lambda: None).job()
    lose_answers(1)

    with pytest.raises(NoDatabase):
        await app.enqueue(job)

    assert count(db) == 1


async def test_with_an_id_of_the_callers_it_may_be_repeated(
    app: App, db: psycopg.Connection, lose_answers: Any
) -> None:
    job = app.task(name="t")(lambda: None).options(id=uuid4()).job()
    lose_answers(1)

    with pytest.raises(NoDatabase):
        await app.enqueue(job)
    await app.enqueue(job)

    assert count(db) == 1


def count(db: psycopg.Connection) -> int:
    row = db.execute("select count(*) from howdah.jobs").fetchone()
    assert row is not None
    return int(row[0])
