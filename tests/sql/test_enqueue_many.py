"""howdah.enqueue_many, enqueue_json, enqueue_batch: many jobs in one call, all or none."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb


def uuid7(n):
    return UUID(f"01900000-0000-7000-8000-{n:012x}")


def nested(depth, text=""):
    return f'{{"t": "{text}", "a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def sized(size):
    """Arguments that take so many bytes in the store, which does not compress what is random."""
    letters = "".join(chr(33 + byte % 90) for byte in Random(1).randbytes(size - 17))
    return json.dumps({"t": letters.replace("\\", "_").replace('"', "_")})


def test_the_answer_comes_in_input_order(door):
    answer = door.enqueue_json({"task": "a"}, {"task": "b"}, {"task": "c"})

    tasks = [door.job(row.id).task for row in answer]

    assert [row.ordinal for row in answer] in ([1, 2, 3], [0, 1, 2])
    assert tasks == ["a", "b", "c"]
    assert all(row.created for row in answer)


def test_composites_do_the_same_as_json(door):
    answer = door.rows(
        "select * from howdah.enqueue_many(array[row('a', '{\"n\": 1}', 'q', 3, null, null, 2,"
        " '5 s',"
        " null, null, null, null, null, '{x}')::howdah.new_job, row('b', null, null, null, null,"
        " null, null, null, null, null, null, null, null, null)::howdah.new_job])"
    )

    first, second = (door.job(row.id) for row in answer)

    assert (first.args, first.queue, first.priority, first.max_attempts) == ({"n": 1}, "q", 3, 2)
    assert (first.timeout, first.tags) == (timedelta(seconds=5), ["x"])
    assert (second.args, second.queue, second.priority, second.max_attempts) == (
        {},
        "default",
        0,
        4,
    )


def test_a_json_array_fits_the_named_parameter_as_over_postgrest(door):
    answer = door.rows(
        "select * from howdah.enqueue_many(jobs => (select array_agg(j) from"
        " jsonb_populate_recordset(null::howdah.new_job, %s::jsonb) j))",
        '[{"task": "a"}, {"task": "b", "priority": 2}]',
    )

    claimed = door.claim(5)

    assert len(answer) == 2
    assert [job.task for job in claimed] == ["b", "a"]


def test_fields_may_differ_from_job_to_job(door):
    answer = door.enqueue_json(
        {"task": "a", "delay": "1 hour", "delivery": "transactional"},
        {"task": "b", "timeout": "7 s", "headers": {"h": 1}, "tags": ["t"], "no_timeout": False},
        {"task": "c", "no_timeout": True, "run_at": "2001-01-01T00:00:00Z"},
    )

    a, b, c = (door.job(row.id) for row in answer)

    assert (a.state, a.delivery) == ("scheduled", "transactional")
    assert (b.timeout, b.headers, b.tags) == (timedelta(seconds=7), {"h": 1}, ["t"])
    assert (c.state, c.timeout) == ("ready", None)


def test_one_bad_job_among_many_refuses_them_all(door, refused):
    jobs = [{"task": "ok"}, {"task": ""}, {"task": "ok"}]

    with refused("JQ001"):
        door.enqueue_json(*jobs)

    assert door.counts() == (0, 0)


def test_ten_thousand_in_one_call_are_taken_in_order(door):
    answer = door.rows(
        "select * from howdah.enqueue_many((select array_agg(row('t', jsonb_build_object('n',"
        " n), null,"
        " null, null, null, null, null, null, null, null, null, null, null)::howdah.new_job"
        " order by n)"
        " from generate_series(1, 10000) n))"
    )

    claimed = door.claim(10000)

    assert len(answer) == 10000
    assert [job.args["n"] for job in claimed] == [*range(1, 10001)]
    assert [job.id for job in claimed] == [row.id for row in answer]


def test_no_jobs_are_no_error(door):
    answers = [
        door.enqueue_json(),
        door.rows("select * from howdah.enqueue_many('{}')"),
        door.value("enqueue_batch", task="t", ids=[], args=[]),
    ]

    assert answers == [[], [], 0]
    assert door.counts() == (0, 0)


def test_a_key_twice_in_one_call_makes_one_job(door):
    first, second, third = door.enqueue_json(
        {"task": "a", "unique_key": "k"}, {"task": "b", "unique_key": "k"}, {"task": "c"}
    )

    assert first.id == second.id != third.id
    assert (first.created, second.created, third.created) == (True, False, True)
    assert door.job(first.id).task == "a"
    assert door.counts() == (2, 0)


def test_an_id_twice_in_one_call_makes_one_job(door):
    job_id = str(uuid4())

    first, second = door.enqueue_json({"task": "a", "id": job_id}, {"task": "b", "id": job_id})

    assert str(first.id) == str(second.id) == job_id
    assert (first.created, second.created) == (True, False)
    assert door.counts() == (1, 0)


def test_what_was_there_already_is_answered_as_not_created(door):
    there = door.enqueue(unique_key="k")

    taken, fresh = door.enqueue_json({"task": "a", "unique_key": "k"}, {"task": "b"})

    assert (taken.id, taken.created) == (there, False)
    assert fresh.created
    assert door.counts() == (2, 0)


def test_a_batch_of_one_task_keeps_the_ids_and_shares_the_options(door):
    ids = [door.one("select howdah.enqueue('x')") for _ in range(3)]  # ids of our own making
    door.rows("select howdah.delete(id) from howdah.jobs")

    added = door.value(
        "enqueue_batch", task="t", ids=ids, args=['{"n": 1}', '{"n": 2}', '{"n": 3}'], queue="q",
        priority=5, tags=["x"], timeout="9 s",
    )  # fmt: skip
    claimed = door.claim(9)

    assert added == 3
    assert [(job.id, job.args["n"]) for job in claimed] == [*zip(ids, (1, 2, 3), strict=True)]
    assert {(job.queue, job.priority, job.timeout_ms) for job in claimed} == {("q", 5, 9000)}


def test_a_batch_says_where_declared_keys_led(door):
    keys = {"unique_key": "u:{n}"}
    door.call("declare_tasks", tasks=Jsonb([{"name": "keyed", "keys": keys}]))
    ids = [uuid7(n) for n in range(5)]
    batch = "select made, led_to from howdah.enqueue_alike(%s, %s::uuid[], %s::text[])"
    one, two, three = (f'{{"n": {n}}}' for n in (1, 2, 3))

    assert door.rows(batch, "plain", ids[:1], [one]) == [(1, None)]
    assert door.rows(batch, "keyed", ids[1:2], [one]) == [(1, None)]
    assert door.rows(batch, "keyed", ids[2:4], [two, one]) == [(1, [ids[2], ids[1]])]
    assert door.value("enqueue_batch", task="keyed", ids=ids[4:], args=[two]) == 0
    assert door.value("enqueue_batch", task="keyed", ids=ids[4:], args=[three]) == 1


LONGEST = "x" * 400
BOUNDS = {
    "64 deep": (nested(64, LONGEST), nested(65, LONGEST), "args are nested more than 64 deep"),
    "64 deep and short": (nested(64), nested(65), "args are nested more than 64 deep"),
    "1 MiB": (sized(1048576), sized(1048577), "args are larger than 1 MiB"),
    "an object": ("{}", "[]", "args must be a JSON object"),
    "no NUL": ('{"t": "\\\\u0000"}', '{"t": "\\u0000"}', None),
    "JSON": ('{"n": null}', '{"n": NaN}', None),
}


@pytest.mark.parametrize("bound", BOUNDS)
def test_what_is_at_the_bound_is_taken_by_the_quick_road_and_what_is_beyond_is_not(
    door, refused, bound
):
    good, bad, says = BOUNDS[bound]
    ids = [uuid7(n) for n in range(3)]

    assert door.value("enqueue_batch", task="t", ids=ids, args=["{}", good, "{}"]) == 3
    door.rows("delete from _howdah.job")
    if says is None:
        with pytest.raises(psycopg.DataError):
            door.value("enqueue_batch", task="t", ids=ids, args=["{}", bad, "{}"])
    else:
        with refused("JQ001", f"job 2 of the batch: {says}"):
            door.value("enqueue_batch", task="t", ids=ids, args=["{}", bad, "{}"])

    assert door.counts() == (0, 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"args": ["{}"]}, "differ in length"),
        ({"args": ["{}", None]}, "NULL"),
        ({"ids": None}, "differ in length"),
        ({"task": "a*"}, "cannot contain *"),
        ({"queue": ""}, "queue name is empty"),
        ({"priority": 2**31}, "does not fit"),
        ({"tags": ["x"] * 33}, "more than 32 tags"),
        ({"tags": ["x" * 121]}, "a tag must be"),
        ({"timeout": "0 s"}, "timeout must be positive"),
    ],
)
def test_what_the_batch_shares_is_checked_once(door, refused, options, says):
    batch = {"task": "t", "ids": [uuid7(1), uuid7(2)], "args": ["{}", "{}"], **options}

    with refused("JQ001", says):
        door.value("enqueue_batch", **batch)

    assert door.counts() == (0, 0)


def test_ten_thousand_are_taken_by_the_quick_road_in_their_order_and_one_more_is_not(door, refused):
    ids = [uuid7(n) for n in range(10_001)]
    args = [f'{{"n": {n}}}' for n in range(10_001)]

    with refused("JQ001", "at most 10,000"):
        door.value("enqueue_batch", task="t", ids=ids, args=args)
    door.value("enqueue_batch", task="t", ids=ids[:10_000], args=args[:10_000])

    assert [job.args["n"] for job in door.claim(10_000)] == [*range(10_000)]


def test_a_rolled_back_batch_leaves_nothing(door):
    door.rows("begin")
    door.enqueue_json(*[{"task": "t", "unique_key": str(n)} for n in range(100)])
    door.value("enqueue_batch", task="t", ids=[uuid7(1), uuid7(2)], args=["{}", "{}"])

    door.rows("rollback")

    assert door.counts() == (0, 0)


def test_many_scheduled_jobs_keep_their_input_order_for_one_time(door, clock):
    door.enqueue_json(*[{"task": f"t{n:02}", "delay": "1 min"} for n in range(50)])

    clock.forward("2 min")
    door.chores("stage")

    assert [job.task for job in door.claim(50)] == [f"t{n:02}" for n in range(50)]
