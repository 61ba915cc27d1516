"""A job is a URL: from SQL alone, and back. Scenarios of the first origin (IPO)."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from serving import reply


@pytest.fixture
def call(db):
    """`howdah.http(…)` with named arguments; gives the id."""

    def call(url, method="GET", **options):
        named = ", ".join(f"{name} => %s" for name in options)
        values = [Jsonb(v) if isinstance(v, dict) else v for v in options.values()]
        text = f"select howdah.http(%s, %s{', ' if named else ''}{named})"
        return db.execute(text, [method, url, *values]).fetchone()[0]

    return call


@pytest.fixture
def job(db):
    """A job's row of howdah.http_jobs, as a dict."""

    def job(job_id):
        with db.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return cursor.execute(
                "select * from howdah.http_jobs where id = %s", [job_id]
            ).fetchone()

    return job


@pytest.fixture
def end(job, eventually):
    """Waits for a job's end; gives its row."""

    async def end(job_id, within=10.0):
        states = {"succeeded", "failed", "cancelled"}
        await eventually(lambda: job(job_id)["state"] in states, within=within)
        return job(job_id)

    return end


@pytest.fixture
def response(db):
    """A job's row of howdah.http_responses, or None."""

    def response(job_id):
        with db.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
            return cursor.execute(
                "select * from howdah.http_responses where id = %s", [job_id]
            ).fetchone()

    return response


async def test_a_url_called_from_sql_has_its_answer_beside_the_job(
    call, end, response, server, caller
):
    url = server.on("/", reply("200 OK", b"ok", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")))

    done = await end(call(url))

    found = response(done["id"])
    assert (done["state"], done["error"], found.status, found.body) == (
        "succeeded",
        None,
        200,
        b"ok",
    )
    assert [pair for pair in found.headers if pair[0] == "Set-Cookie"] == [
        ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"],
    ]  # fmt: skip
    assert timedelta(0) < found.duration < timedelta(seconds=5)
    assert (found.attempts, found.url) == (1, url)


@pytest.mark.parametrize("method", ["post", "POST", "PUT"])
async def test_json_arrives_as_it_was_given_with_its_type(call, end, server, caller, method):
    url = server.on("/", reply())

    await end(call(url, method, data={"a": [1, "ü"]}))

    [hit] = server.hits
    assert (hit.method, hit.body) == (method.upper(), '{"a":[1,"ü"]}'.encode())
    assert hit.header("content-type") == "application/json"


async def test_a_row_is_a_call_with_an_id_of_the_callers_choice(db, end, server, caller):
    url, given = server.on("/", reply()), uuid4()

    db.execute(
        "insert into howdah.http_jobs (id, url, method, data) values (%s, %s, 'post', %s)",
        [given, url, Jsonb({"n": 1})],
    )
    db.execute("insert into howdah.http_jobs (id, url) values (%s, %s)", [given, url])

    assert (await end(given))["state"] == "succeeded"
    assert [json.loads(hit.body) for hit in server.hits] == [{"n": 1}]


async def test_bytes_and_forms_arrive_and_nothing_is_sent_where_nothing_was_given(
    call, end, response, server, caller
):
    everything = bytes(range(256))
    url = server.on("/", lambda hit: reply("200 OK", hit.body))

    raw = await end(call(url, "POST", body=everything))
    await end(call(url, "POST", form={"a": "1 &", "b": ["x", "y"]}))
    await end(call(url))

    assert response(raw["id"]).body == everything
    assert [hit.body for hit in server.hits[1:]] == [b"a=1+%26&b=x&b=y", b""]
    assert server.hits[1].header("content-type") == "application/x-www-form-urlencoded"
    assert server.hits[2].header("content-type") is None


async def test_a_listener_finds_everything_stored_when_it_is_told(
    dsn, call, server, caller, job, response
):
    with psycopg.connect(dsn, autocommit=True) as listener:
        given = uuid4()
        listener.execute(f'listen "howdah_job_{given}"')
        call(server.on("/", after=0.1), id=given)
        told = await asyncio.to_thread(
            lambda: next(listener.notifies(timeout=10, stop_after=1), None)
        )

        assert (told.channel, told.payload) == (f"howdah_job_{given}", str(given))
        assert (job(given)["state"], response(given).status) == ("succeeded", 200)


@pytest.mark.parametrize("how", ["cancelled", "refused", "failed"])
async def test_a_listener_is_told_of_every_end(dsn, db, call, server, calling, how):
    given = uuid4()
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute(f'listen "howdah_job_{given}"')
        url = "http://169.254.169.254/" if how == "refused" else server.on("/", reply("500 No"))
        call(url, id=given, **({"fail_on": [404]} if how == "failed" else {}))
        if how == "cancelled":
            db.execute("select howdah.cancel(%s)", [given])
        async with calling():
            told = await asyncio.to_thread(
                lambda: next(listener.notifies(timeout=10, stop_after=1), None)
            )

    assert told.payload == str(given)


async def test_who_asks_not_to_be_told_is_not(dsn, call, end, server, caller):
    with psycopg.connect(dsn, autocommit=True) as listener:
        quiet, loud = uuid4(), uuid4()
        listener.execute(f'listen "howdah_job_{quiet}"')
        listener.execute(f'listen "howdah_job_{loud}"')
        await end(call(server.on("/"), id=quiet, notify=False))
        await end(call(server.on("/"), id=loud))

        told = [note.payload for note in listener.notifies(timeout=2, stop_after=1)]

    assert told == [str(loud)]


def test_a_plain_job_has_no_channel(dsn, db):
    with psycopg.connect(dsn, autocommit=True) as listener:
        given = uuid4()
        listener.execute(f'listen "howdah_job_{given}"')
        db.execute("select howdah.enqueue('t', id => %s)", [given])
        db.execute("select howdah.ack(c.id, c.lease) from howdah.claim(n => 1) c")
        db.execute("select pg_notify(%s, 'last')", [f"howdah_job_{given}"])

        told = [note.payload for note in listener.notifies(timeout=2, stop_after=1)]

    assert told == ["last"]


async def test_nothing_is_called_before_the_commit_or_after_a_rollback(
    dsn, call, end, server, caller, eventually
):
    url = server.on("/a")
    with psycopg.connect(dsn) as connection:
        connection.execute("select howdah.http('GET', %s)", [url])
        connection.rollback()
        connection.execute("select howdah.http('GET', %s)", [server.on("/b")])
        await end(call(server.on("/c")))
        assert [hit.path for hit in server.hits] == ["/c"]
        connection.commit()

    await eventually(lambda: len(server.hits) == 2)
    assert [hit.path for hit in server.hits] == ["/c", "/b"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("asdf", "Invalid URL 'asdf'"),
        ("file:///etc/passwd", "must begin with https:// or http://"),
        ("gopher://x/", "must begin with"),
        ("", "needs a URL"),
        (None, "needs a URL"),
        ("http://user:s3cret@x/", "user name or password"),
        ("http://x/\r\nA: b", "white space"),
        ("http://", "no host"),
        ("http://x:99999999/", "port"),
        (f"http://x/{'a' * 8200}", "longer than"),
    ],
)
def test_what_is_no_url_is_refused_at_the_door(db, call, url, said):
    with pytest.raises(psycopg.errors.DatabaseError) as refused:
        call(url)

    assert refused.value.sqlstate == "JQ001"
    assert said in str(refused.value)
    assert "s3cret" not in refused.value.diag.message_primary


@pytest.mark.parametrize(
    "options",
    [
        {"method": "BREW"},
        {"method": "GET\r\nX: y"},
        {"method": "GET", "data": {}},
        {"data": {}, "form": {}},
        {"headers": {"host": "x"}},
        {"headers": {"Content-Length": "0"}},
        {"headers": {"transfer-encoding": "chunked"}},
        {"headers": {"X-A": "b\r\nc: d"}},
        {"headers": {"X A": "b"}},
        {"headers": {"X-A": {"secret": "a b"}}},
        {"headers": {"X-A": 1}},
        {"headers": {"Howdah-Signature": "x"}},
        {"timeout": "0 s"},
        {"timeout": "2 days"},
        {"retry_on": [42]},
        {"delivery": "transactional"},
        {"redirects": 11},
        {"max_response": -1},
    ],
)
def test_what_no_job_may_ask_for_is_refused_at_the_door(call, options):
    with pytest.raises(psycopg.errors.DatabaseError) as refused:
        call("https://example.org/", **{"method": "POST", **options})

    assert refused.value.sqlstate == "JQ001"


async def test_what_was_retried_by_hand_has_one_answer_the_last(
    db, call, end, response, server, caller
):
    first = await end(call(server.on("/", reply("500 No", b"1")), fail_on=[5], max_attempts=1))
    assert (first["state"], response(first["id"]).status) == ("failed", 500)

    server.on("/", reply("200 OK", b"2"))
    db.execute("select howdah.retry(%s)", [first["id"]])
    again = await end(first["id"])

    assert (again["state"], response(first["id"]).body) == ("succeeded", b"2")


async def test_deleted_means_that_the_answer_is_gone_too(db, call, end, response, server, caller):
    done = await end(call(server.on("/")))

    db.execute("select howdah.delete(%s)", [done["id"]])

    assert response(done["id"]) is None


async def test_a_queue_that_keeps_no_history_keeps_the_answer(
    db, call, response, server, caller, eventually
):
    db.execute("select howdah.put_queue('brief', keep_history => false)")

    given = call(server.on("/"), queue="brief")

    await eventually(lambda: response(given) is not None)
    assert db.execute("select state, status from howdah.http_answer(%s)", [given]).fetchone() == (
        "succeeded", 200,
    )  # fmt: skip


async def test_priority_and_time_are_kept_with_one_call_at_once(db, call, end, server, calling):
    for path in ("/low", "/high", "/later"):
        server.on(path, after=0.05)
    later = call(server.url("/later"), delay="1.5 s", priority=99)
    low = [call(server.url("/low")) for _ in range(3)]
    high = call(server.url("/high"), priority=10)

    async with calling(http_slots=1):
        for each in (*low, high, later):
            await end(each)

    assert [hit.path for hit in server.hits] == ["/high", "/low", "/low", "/low", "/later"]
    assert server.peak == 1
