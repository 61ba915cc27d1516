"""T28: each bound is where it is said to be, in SQL and in Python: it is taken, and one more not.

Arguments in Python: tests/unit/test_arguments.py; 10,000 and 10,001 jobs in one call:
tests/sql/test_enqueue_many.py, tests/sql/test_bad_input.py, tests/client/test_clients.py.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from howdah import App, BadInput


def deep(levels: int) -> dict:
    inner: object = 1
    for _ in range(levels - 1):
        inner = [inner]
    return {"a": inner}


# To PostgreSQL a year of an interval has 360 days.
BOUNDS = {
    "a task's name": ("task", "x" * 120, "x" * 121),
    "a task's name of wide letters": ("task", "é" * 120, "é" * 121),
    "a queue's name": ("queue", "x" * 120, "x" * 121),
    "a unique key": ("unique_key", "x" * 200, "x" * 201),
    "a unique key, in bytes": ("unique_key", "é" * 100, "é" * 100 + "x"),
    "tags": ("tags", ["x"] * 32, ["x"] * 33),
    "a tag": ("tags", ["x" * 120], ["x" * 121]),
    "an empty tag": ("tags", ["x"], [""]),
    "greatest priority": ("priority", 2**31 - 1, 2**31),
    "least priority": ("priority", -(2**31), -(2**31) - 1),
    "attempts": ("max_attempts", 10_000, 10_001),
    "least attempts": ("max_attempts", 1, 0),
    "a timeout": ("timeout", timedelta(days=360), timedelta(days=361)),
    "least timeout": ("timeout", timedelta(milliseconds=1), timedelta(microseconds=999)),
    "a delay": ("delay", timedelta(days=3600), timedelta(days=3601)),
    "least delay": ("delay", timedelta(0), timedelta(microseconds=-1)),
    "args, how deep": ("args", deep(64), deep(65)),
}


def sent(value):
    return Jsonb(value) if isinstance(value, dict) else value


@pytest.mark.parametrize("bound", BOUNDS)
def test_t28_the_server_takes_what_is_at_the_bound_and_refuses_one_more(db, bound):
    name, most, more = BOUNDS[bound]
    named = "%s" if name == "task" else f"%s, {name} => %s"
    statement = f"select howdah.enqueue({named})"

    def enqueue(value):
        values = [value] if name == "task" else ["t", sent(value)]
        return db.execute(statement, values)

    enqueue(most)
    with pytest.raises(psycopg.Error) as refused:
        enqueue(more)

    assert refused.value.sqlstate == "JQ001"
    assert db.execute("select count(*) from howdah.jobs").fetchone() == (1,)


@pytest.mark.parametrize("bound", [b for b in BOUNDS if BOUNDS[b][0] not in {"task", "args"}])
async def test_t28_so_does_python_before_anything_is_sent(app: App, db, bound):
    name, most, more = BOUNDS[bound]
    task = app.task(name="t")(lambda: None)

    await app.enqueue(task.options(**{name: most}).job())
    with pytest.raises(BadInput):
        task.options(**{name: more}).job()

    assert db.execute("select count(*) from howdah.jobs").fetchone() == (1,)


def size_of(db, text: str) -> int:
    return db.execute("select pg_column_size(%s::jsonb)", [text]).fetchone()[0]


def test_t28_args_of_a_mebibyte_to_the_byte(db):
    text = "x" * 1_000_000
    text += "x" * (1_048_576 - size_of(db, json.dumps({"a": text})))

    db.execute("select howdah.enqueue('t', %s)", [json.dumps({"a": text})])
    with pytest.raises(psycopg.Error, match="larger than 1 MiB"):
        db.execute("select howdah.enqueue('t', %s)", [json.dumps({"a": text + "x" * 4})])


def test_t28_headers_of_64_kib_to_the_byte(db):
    text = "x" * 60_000
    text += "x" * (65_536 - size_of(db, json.dumps({"a": text})))

    db.execute("select howdah.enqueue('t', headers => %s)", [json.dumps({"a": text})])
    with pytest.raises(psycopg.Error, match="larger than 64 KiB"):
        db.execute("select howdah.enqueue('t', headers => %s)", [json.dumps({"a": text + "x" * 4})])


def test_t28_a_time_lies_within_ten_years(db):
    soon, late = (datetime.now(UTC) + timedelta(days=days) for days in (3650, 3660))

    db.execute("select howdah.enqueue('t', run_at => %s)", [soon])
    with pytest.raises(psycopg.Error, match="ten years"):
        db.execute("select howdah.enqueue('t', run_at => %s)", [late])
