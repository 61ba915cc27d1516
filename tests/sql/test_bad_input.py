"""Bad input: a SQLSTATE of ours, what was wrong, a hint; and nothing half-written."""

from __future__ import annotations

import random

import psycopg
import pytest
from psycopg.types.json import Jsonb

chance = random.Random(1)
RANDOM_MIB = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=1_100_000))


def nested(depth):
    return '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


class Raw(str):
    """JSON as it is."""


BAD = {
    "task null": {"task": None},
    "task empty": {"task": ""},
    "task too long": {"task": "x" * 121},
    "task a pattern": {"task": "a*"},
    "queue empty": {"queue": ""},
    "queue too long": {"queue": "x" * 121},
    "queue a pattern": {"queue": "mail*"},
    "args an array": {"args": Raw("[1]")},
    "args a text": {"args": Raw('"x"')},
    "args a number": {"args": Raw("1")},
    "args JSON null": {"args": Raw("null")},
    "args over 1 MiB": {"args": {"t": RANDOM_MIB}},
    "args over 1 MiB of one letter": {"args": {"t": "x" * 1_100_000}},
    "args 65 deep": {"args": Raw(nested(65))},
    "args 200 deep": {"args": Raw(nested(200))},
    "args 65 deep around a number": {"args": Raw('{"a":' + "[" * 64 + "1" + "]" * 64 + "}")},
    "args 65 deep by objects": {"args": Raw('{"a":' * 65 + "1" + "}" * 65)},
    "run_at infinity": {"run_at": "infinity"},
    "run_at -infinity": {"run_at": "-infinity"},
    "run_at far away": {"run_at": "9999-01-01 00:00+00"},
    "run_at before Christ": {"run_at": "0044-03-15 00:00+00 BC"},
    "delay of ages": {"delay": "9000 years"},
    "run_at and delay": {"run_at": "2030-01-01 00:00+00", "delay": "1 hour"},
    "timeout zero": {"timeout": "0"},
    "timeout negative": {"timeout": "-1 s"},
    "timeout of ages": {"timeout": "9000000 years"},
    "timeout and none": {"timeout": "5 s", "no_timeout": True},
    "priority over int4": {"priority": 2**31},
    "priority under int4": {"priority": -(2**31) - 1},
    "no attempts": {"max_attempts": 0},
    "less than no attempts": {"max_attempts": -1},
    "delivery unknown": {"delivery": "sometimes"},
    "delivery empty": {"delivery": ""},
    "unique_key empty": {"unique_key": ""},
    "unique_key too long": {"unique_key": "x" * 201},
    "headers an array": {"headers": Raw("[]")},
    "headers a text": {"headers": Raw('"x"')},
}


def arguments_of(bad):
    return {"task": "t"} | {
        name: raw_json(value) if isinstance(value, Raw) else value for name, value in bad.items()
    }


def raw_json(text):
    return Jsonb(text, dumps=str)


@pytest.mark.parametrize("bad", BAD)
def test_enqueue_refuses(door, refused, bad):
    with refused("JQ001"):
        door.call("enqueue", **arguments_of(BAD[bad]))

    assert door.counts() == (0, 0)


# In a composite a priority out of int4 and a JSON null cannot be said at all.
SAYABLE = [bad for bad in BAD if not bad.startswith("priority") and bad != "args JSON null"]


@pytest.mark.parametrize("bad", SAYABLE)
def test_enqueue_many_refuses_the_whole_batch(door, refused, bad):
    fields = arguments_of(BAD[bad])
    row = (
        "jsonb_build_object('task', 'ok'), jsonb_build_object("
        + ", ".join(f"'{name}', to_jsonb(%s::{type_of(name)})" for name in fields)
        + ")"
    )

    with refused("JQ001"):
        door.rows(
            "select * from howdah.enqueue_many((select array_agg(jsonb_populate_record("
            f"null::howdah.new_job, j)) from unnest(array[{row}]) j))",
            *(Jsonb(v) if isinstance(v, dict) else v for v in fields.values()),
        )

    assert door.counts() == (0, 0)


def type_of(name):
    types = {"args": "jsonb", "headers": "jsonb", "run_at": "timestamptz", "delay": "interval",
             "timeout": "interval", "max_attempts": "int", "no_timeout": "boolean"}  # fmt: skip
    return types.get(name, "text")


@pytest.mark.parametrize("priority", [2**31, -(2**31) - 1])
def test_enqueue_json_refuses_priorities_that_do_not_fit(door, priority):
    with pytest.raises(psycopg.Error) as caught:
        door.enqueue_json({"task": "ok"}, {"task": "t", "priority": priority})

    assert caught.value.sqlstate in {"JQ001", "22003"}
    assert door.counts() == (0, 0)


@pytest.mark.parametrize("jobs", ["{}", "1", "null", "[1]", '["t"]', "[null]", "[[]]", "[{}]"])
def test_enqueue_json_wants_an_array_of_objects(door, refused, jobs):
    with refused("JQ001"):
        door.rows("select * from howdah.enqueue_json(%s::jsonb)", jobs)

    assert door.counts() == (0, 0)


def test_a_null_among_many_jobs_is_refused(door, refused):
    with refused("JQ001"):
        door.rows(
            "select * from howdah.enqueue_many(array[null, row('t', null, null, null, null,"
            " null, null,"
            " null, null, null, null, null, null, null)]::howdah.new_job[])"
        )


@pytest.mark.parametrize(
    "function", ["enqueue_many", "enqueue_json", "enqueue_batch", "enqueue_unique"]
)
def test_10_001_jobs_in_one_call_are_refused(door, refused, function):
    calls = {
        "enqueue_many": "select * from howdah.enqueue_many((select array_agg("
        'jsonb_populate_record(null::howdah.new_job, \'{"task": "t"}\'))'
        " from generate_series(1, 10001)))",
        "enqueue_json": "select * from howdah.enqueue_json((select jsonb_agg(jsonb_build_object("
        "'task', 't')) from generate_series(1, 10001)))",
        "enqueue_batch": "select howdah.enqueue_batch('t', array_agg(gen_random_uuid()),"
        " array_agg('{}'::text)) from generate_series(1, 10001)",
        "enqueue_unique": "select howdah.enqueue_unique('t', array_agg(gen_random_uuid()),"
        " array_agg('{}'::text), array_agg(n::text)) from generate_series(1, 10001) n",
    }

    with refused("JQ001", mentions="10001"):
        door.rows(calls[function])

    assert door.counts() == (0, 0)


@pytest.mark.parametrize("n", [0, -1, None])
def test_a_claim_of_no_jobs_is_refused(door, refused, n):
    door.enqueue()

    with refused("JQ001"):
        door.rows("select * from howdah.claim(n => %s::int)", n)

    assert door.take().attempt == 1


@pytest.mark.parametrize(
    "args", ["", "x", "[]", "1", "null", None, '{"a": "\\u0000"}', '{"a": "\\ud800"}', nested(65)]
)
def test_a_batch_refuses_args_that_are_no_objects(door, args):
    ids = ["01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"]

    with pytest.raises(psycopg.Error) as caught:
        door.rows("select howdah.enqueue_batch('t', %s::uuid[], %s::text[])", ids, ["{}", args])

    assert caught.value.sqlstate in {"JQ001", "22P02", "22P05"}
    assert door.counts() == (0, 0)


@pytest.mark.parametrize(
    ("ids", "args"),
    [(["01900000-0000-7000-8000-000000000001"], []), ([], ["{}"]), ([None], ["{}"])],
    ids=str,
)
def test_a_batch_refuses_arrays_that_do_not_fit(door, refused, ids, args):
    with refused("JQ001"):
        door.rows("select howdah.enqueue_batch('t', %s::uuid[], %s::text[])", ids, args)

    assert door.counts() == (0, 0)


@pytest.mark.parametrize("keys", [None, [], ["k", "l"], [None], [""], ["k" * 201]], ids=str)
def test_a_unique_batch_needs_a_good_key_for_each(door, refused, keys):
    ids = ["01900000-0000-7000-8000-000000000001"]

    with refused("JQ001", mentions="1 to 200 bytes"):
        door.rows(
            "select howdah.enqueue_unique('t', %s::uuid[], %s::text[], %s::text[])",
            ids, ["{}"], keys,
        )  # fmt: skip

    assert door.counts() == (0, 0)


def test_a_batch_with_an_id_that_is_there_adds_nothing(door):
    job_id = "01900000-0000-7000-8000-000000000001"
    door.value("enqueue_batch", task="t", ids=[job_id], args=["{}"])

    with pytest.raises(psycopg.Error) as caught:
        door.value(
            "enqueue_batch",
            task="t",
            ids=["01900000-0000-7000-8000-000000000002", job_id],
            args=["{}", "{}"],
        )

    assert caught.value.sqlstate in {"JQ001", "JQ003", "23505"}
    assert door.counts() == (1, 0)


@pytest.mark.parametrize("text", ['{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"\\u0000": 1}', "{"])
def test_text_that_is_no_json_for_the_server_is_refused(door, text):
    with pytest.raises(psycopg.Error) as caught:
        door.rows("select howdah.enqueue('t', %s)", text)

    assert caught.value.sqlstate in {"22P02", "22P05", "JQ001"}
    assert door.counts() == (0, 0)


def test_a_read_only_transaction_says_so(door):
    door.rows("begin read only")

    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        door.enqueue()
    door.rows("rollback")

    assert door.counts() == (0, 0)


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("queue", [None, "", "x" * 121])
def test_queues_without_a_name_cannot_be_paused(door, refused, verb, queue):
    with refused("JQ001"):
        door.rows(f"select howdah.{verb}(%s::text)", queue)


def test_a_refusal_inside_a_transaction_leaves_the_jobs_before_it_to_the_caller(door, refused):
    with door.transaction():
        kept = door.enqueue()
        with refused("JQ001"), door.transaction():
            door.enqueue("")

    assert [job.id for job in door.claim(5)] == [kept]


def test_numbers_of_5000_digits_and_1500_deep_results_do_not_stop_the_engine(door):
    digits = "9" * 5000
    door.rows(f"""select howdah.enqueue('t', '{{"n": {digits}}}')""")
    [row] = door.rows("select id, lease, args::text as args from howdah.claim()")

    door.rows("select howdah.ack(%s, %s, %s::jsonb)", row.id, row.lease, "[" * 1500 + "]" * 1500)

    assert row.args == f'{{"n": {digits}}}'
    assert door.state(row.id) == "succeeded"


def test_more_attempts_than_can_be_counted_are_refused(door, refused):
    with refused("JQ001", "attempts"):
        door.enqueue(max_attempts=3_000_000_000)
    with pytest.raises(psycopg.Error) as caught:
        door.enqueue_json({"task": "ok"}, {"task": "t", "max_attempts": 3_000_000_000})

    assert caught.value.sqlstate in {"JQ001", "22003"}
    assert door.counts() == (0, 0)


@pytest.mark.parametrize("field", ["colour", "max_attempt", "Task", "kwargs"])
def test_enqueue_json_names_a_field_that_it_does_not_know(door, refused, field):
    with refused("JQ001", field):
        door.enqueue_json({"task": "ok"}, {"task": "t", field: 1})

    assert door.counts() == (0, 0)
