"""Rows that no client of ours would write: each fails alone, and the batch goes on (F4)."""

from __future__ import annotations

from uuid import UUID

import pytest

from howdah import App, Context

BIG = "9" * 5000
DEEP = "[" * 1500 + "]" * 1500
UNCHECKED = """
alter table _howdah.job drop constraint job_args;
alter table _howdah.job drop constraint job_sound;
"""
INSERT = """
insert into _howdah.job (seq, created_at, id, state, queue, task, args, headers, run_at)
values (nextval('_howdah.seq'), now(), gen_random_uuid(), %s, 'default', 'any', %s::jsonb,
        %s::jsonb, %s::timestamptz)
returning id
"""

ROWS = {
    "a big integer": f'{{"n": {BIG}}}',
    "a big integer for a float": f'{{"x": {BIG}}}',
    "a big integer in something untyped": f'{{"any": {BIG}}}',
    "a deep list": f'{{"any": {DEEP}}}',
    "a deep object": '{"any": ' + '{"a":' * 1200 + "1" + "}" * 1201,
    "no object": "[1, 2]",
    "a string": '"text"',
    "null": "null",
    "a wrong type": '{"n": "many"}',
    "an unknown name": '{"m": 1}',
    "a number beyond all": '{"n": 1e3000}',
}


@pytest.fixture
def hostile(own_dsn, store_of):
    """The store of a database without its guards."""
    store = store_of(own_dsn)
    store.do(UNCHECKED)
    return store


@pytest.fixture
def hostile_app(own_dsn):
    app = App(own_dsn)

    @app.task(name="any")
    async def any_task(ctx: Context, n: int = 0, x: float = 0.0, any: object = None):  # noqa: A002
        return n

    return app


def put(store, args: str, *, headers: str | None = None, state="r", run_at=None) -> UUID:
    return store.one(INSERT, state, args, headers, run_at)


async def test_each_hostile_row_fails_alone_and_the_others_of_its_batch_succeed(
    hostile, hostile_app, eventually
):
    good, bad = [], {}
    for name, args in ROWS.items():
        good.append(put(hostile, '{"n": 1}'))
        bad[name] = put(hostile, args)
    good.append(put(hostile, '{"n": 1}'))

    async with hostile_app, hostile_app.worker():
        await eventually(lambda: hostile.states()["failed"] + hostile.states()["succeeded"] >= 20)
        await eventually(lambda: hostile.states()["running"] == 0)

    assert {hostile.state(job_id) for job_id in good} == {"succeeded"}
    fits = {"a number beyond all"}  # an integer of 3,001 digits, to Python too
    for name in ROWS.keys() - fits:
        assert hostile.state(bad[name]) == "failed", name
        assert hostile.attempts(bad[name]) == ["bad arguments"], name


@pytest.mark.parametrize("headers", [f'{{"n": {BIG}}}', DEEP, "[]", '"x"', "1"])
async def test_hostile_headers_hurt_nobody_else(hostile, hostile_app, eventually, headers):
    bad, good = put(hostile, "{}", headers=headers), put(hostile, "{}")

    async with hostile_app, hostile_app.worker():
        await eventually(lambda: hostile.state(good) == "succeeded")
        await eventually(lambda: hostile.state(bad) in {"succeeded", "failed", "scheduled"})


@pytest.mark.parametrize("run_at", ["9999-12-31", "99999-12-31", "infinity", "-infinity"])
async def test_a_job_whose_time_never_comes_stops_no_worker(
    hostile, hostile_app, eventually, run_at
):
    put(hostile, "{}", state="s", run_at=run_at)

    async with hostile_app, hostile_app.worker():
        first = await hostile_app.enqueue(hostile_app.tasks["any"].job())
        await eventually(lambda: hostile.state(first) == "succeeded")
        beat = hostile.one("select beat_at from _howdah.worker")
        await eventually(
            lambda: hostile.one("select beat_at > %s from _howdah.worker", beat), within=5
        )


async def test_ready_rows_with_odd_times_run(hostile, hostile_app, eventually):
    ids = [put(hostile, "{}", run_at=at) for at in ("99999-12-31", "infinity", "-infinity")]

    async with hostile_app, hostile_app.worker():
        await eventually(lambda: {hostile.state(job_id) for job_id in ids} == {"succeeded"})
