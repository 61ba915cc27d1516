"""T44: of a job that was deleted nothing is left in any table: argument, result, error or key."""

from __future__ import annotations

import json

import psycopg
import pytest

MARK = "m4rk-to-be-f0rgotten"


@pytest.fixture
def life(owner):
    """Jobs with the mark in everything that they have, in each state that may be deleted."""

    def put(**more):
        return owner.execute(
            "select howdah.enqueue(%(task)s, %(args)s, queue => %(queue)s, headers => %(args)s,"
            " tags => %(tags)s, unique_key => %(key)s, id => gen_random_uuid(),"
            " delay => %(delay)s, max_attempts => 2)",
            {"task": f"{MARK}.task", "args": json.dumps({"a": MARK}), "queue": "q", "tags": [MARK],
             "key": None, "delay": None, **more},
        ).fetchone()[0]  # fmt: skip

    def end(verb, *values):
        job = owner.execute("select id, lease from howdah.claim('{q}')").fetchone()
        owner.execute(f"select howdah.{verb}(%s, %s, {', '.join(['%s'] * len(values))})",
                      [job.id, job.lease, *values])  # fmt: skip
        return job.id

    put()
    made = [end("ack", json.dumps({"r": MARK}))]
    put()
    made.append(end("nack", f"Traceback … {MARK}"))
    owner.execute("select howdah.run_now(%s)", [made[-1]])
    assert end("nack", f"again {MARK}") == made[-1]
    put()
    made.append(end("nack", f"once {MARK}"))
    cancelled = put()
    owner.execute("select howdah.cancel(%s)", [cancelled])
    return [*made, cancelled, put(delay="1 hour"), put(key=MARK)]


def where_it_is(owner: psycopg.Connection) -> list[str]:
    tables = owner.execute(
        "select c.oid::regclass::text as name from pg_class c where c.relkind = 'r'"
        " and c.relnamespace in ('_howdah'::regnamespace, 'howdah'::regnamespace)"
    ).fetchall()
    return [
        table.name
        for table in tables
        if owner.execute(
            f"select exists (select from {table.name} t where t::text ~ %s)", [MARK]
        ).fetchone()[0]
    ]


def ids_left(owner: psycopg.Connection, ids: list) -> list[str]:
    return [
        table
        for table, column in {"job": "id", "finished": "id", "attempt": "job_id", "given_id": "id",
                              "cancel_request": "job_id", "waiter": "job_id"}.items()
        if owner.execute(
            f"select exists (select from _howdah.{table} where {column} = any (%s))", [ids]
        ).fetchone()[0]
    ]  # fmt: skip


def test_t44_a_deleted_job_has_left_every_table(owner, life):
    states = owner.execute("select state from howdah.jobs").fetchall()
    before = where_it_is(owner)

    for job_id in life:
        assert owner.execute("select howdah.delete(%s)", [job_id]).fetchone()[0], job_id

    assert sorted(row.state for row in states) == [
        "cancelled", "failed", "ready", "scheduled", "scheduled", "succeeded",
    ]  # fmt: skip
    assert any("finished" in name for name in before)
    assert any("attempt" in name for name in before)
    assert where_it_is(owner) == []
    assert ids_left(owner, life) == []
