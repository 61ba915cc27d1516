"""URL jobs among others: steps of workflows, parents and children, keys and limits."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from serving import reply

from howdah import BadInput, Context, JobFailed, Workflow, gather, jobs, result, workflows
from howdah.answer import Answer
from howdah.outcome import Succeeded
from howdah.worker.finisher import Finisher
from howdah.worker.handed import handed_on

JSON = ("Content-Type", "application/json; charset=utf-8")


@pytest.fixture
def ended(app, eventually):
    """Waits for the end of a workflow; gives it."""

    async def ended(run):
        async def has_ended():
            found = await app.run(workflows.get(run))
            return found if found.finished_at else None

        return await eventually(has_ended)

    return ended


@pytest.fixture
def use(app):
    """A task that gives back what it gets."""

    @app.task(name="use")
    async def use(what: Any = None) -> Any:
        return what

    return use


async def test_a_later_step_gets_status_headers_and_body(app, server, calling, use, ended):
    url = server.on("/", reply("200 OK", b'{"n":[1,"\xc3\xbc"]}', JSON, ("X-A", "1"), ("x-a", "2")))
    flow = (
        Workflow("fetch")
        .add("fetch", app.http.job("GET", url))
        .add("whole", use.job(result("fetch")), after="fetch")
        .add("part", use.job(result("fetch", "json", "n", 1)))
        .add("again", app.http.job("POST", url, json=result("fetch", "json")))
    )

    async with calling():
        run = await ended(await app.enqueue(flow))

    told = json.loads(run.result)
    whole = told["whole"]
    assert run.state == "succeeded"
    assert (whole["status"], whole["url"], whole["json"]) == (200, url, {"n": [1, "ü"]})
    assert (whole["headers"]["x-a"], told["part"]) == ("1, 2", "ü")
    assert json.loads(server.hits[1].body) == {"n": [1, "ü"]}
    assert (await app.http.answer(UUID(whole["id"]))).json() == {"n": [1, "ü"]}


async def test_urls_that_a_step_has_found_are_called_and_gathered(app, server, calling, use, ended):
    urls = [server.on(f"/{n}", reply("200 OK", f"{n}".encode())) for n in range(3)]
    flow = (
        Workflow("crawl")
        .add("list", use.job(urls))
        .map("each", app.http.each("GET", timeout=5), result("list"))
        .map("those", app.http.each(), urls[:1])
        .add("all", use.job(gather("each", "text")), after=["those"])
        .add("first", app.http.job("GET", result("list", 0)))
    )

    async with calling():
        run = await ended(await app.enqueue(flow))

    told = json.loads(run.result)
    assert told["all"] == ["0", "1", "2"]
    assert told["first"]["text"] == "0"


async def test_a_url_of_a_step_goes_through_the_gate(app, calling, use, ended, bare_server):
    flow = (
        Workflow("inside")
        .add("find", use.job(bare_server.url()))
        .add("call", app.http.job("GET", result("find"), max_attempts=1))
        .add("after", use.job(1), after="call")
    )

    async with calling():
        run = await ended(await app.enqueue(flow))

    steps = {step.name: step for step in await app.run(workflows.steps(run.id))}
    assert (run.state, steps["after"].state) == ("failed", "failed")
    assert "may not be called" in (await app.run(jobs.list(task="http")))[0].error
    assert bare_server.connections == 0


def answer(body, *headers):
    return Answer(status=200, headers=headers, body=body, duration=0.1, attempts=1, url="http://x/")


@pytest.mark.parametrize(
    ("body", "handed"),
    [
        (b'{"a":1}', {"json": {"a": 1}}), (b"null", {"json": None}), (b"{", {"text": "{"}),
        (b'"\\u0000"', {"text": '"\\u0000"'}), (b"1e999", {"text": "1e999"}),
        (b"9" * 400, {"json": 10**400 - 1}),
        (b"[" * 500 + b"]" * 500, {"text": "[" * 500 + "]" * 500}),
        (b'"\\ud800"', {"text": '"\\ud800"'}), (b"a\x00b", {}), (b"\xff", {}), (b"", {}),
        (b"x" * 300_000, {}),
    ],
)  # fmt: skip
def test_what_cannot_be_stored_as_a_result_is_left_with_the_answer(db, body, handed):
    text = handed_on(UUID(int=1), answer(body, JSON))

    told = db.execute("select %s::jsonb", [text]).fetchone()[0]
    assert {key: told[key] for key in ("json", "text") if key in told} == handed
    assert (told["size"], told["id"]) == (len(body), str(UUID(int=1)))


def test_headers_without_end_are_left_with_the_answer():
    many = [(f"X-{n}", "v" * 1000) for n in range(100)]

    assert json.loads(handed_on(UUID(int=1), answer(b"", *many)))["headers"] == {}


def test_what_a_step_cannot_give_is_refused(app):
    with pytest.raises(BadInput, match="url, json and form can"):
        app.http.job("GET", "https://example.org/", headers=result("a"))
    with pytest.raises(BadInput, match="a GET request has no body"):
        app.http.job("GET", "https://example.org/", json=result("a"))


async def test_jobs_wait_for_url_jobs_and_url_jobs_for_jobs(app, db, server, calling, use):
    url = server.on("/", after=0.1)
    first = db.execute("select howdah.http('GET', %s)", [url]).fetchone()[0]
    second = db.execute(
        "select howdah.enqueue('use', '{\"what\": 1}', after => array[%s])", [first]
    ).fetchone()[0]
    third = db.execute(
        "select howdah.http('GET', %s, after => array[%s])", [server.on("/3"), second]
    ).fetchone()[0]
    fourth = await app.enqueue(app.http.job("GET", server.on("/4"), after=[third]))

    async with calling():
        await app.http.answer(fourth, timeout=10)

    assert [hit.path for hit in server.hits] == ["/", "/3", "/4"]
    assert await app.result(second) == 1


@pytest.mark.parametrize(("policy", "state"), [("fail", "failed"), ("skip", "cancelled")])
async def test_a_url_job_whose_parent_failed_is_not_called(app, db, server, calling, policy, state):
    parent = app.http.job("GET", server.on("/", reply("500 No")), fail_on=[500], max_attempts=1)
    first = await app.enqueue(parent)
    second = db.execute(
        "select howdah.http('GET', %s, after => array[%s], after_failed => %s)",
        [server.on("/2"), first, policy],
    ).fetchone()[0]

    async with calling():
        with pytest.raises(JobFailed):
            await app.result(first, timeout=10)
        with pytest.raises(Exception, match="for which it waited"):
            await app.http.answer(second, timeout=10)

    assert (await app.run(jobs.get(second))).state == state
    assert [hit.path for hit in server.hits] == ["/"]


# Keys


async def test_url_jobs_of_one_serial_key_are_called_one_at_a_time_in_order(
    app, db, server, calling
):
    urls = [server.on(f"/{n}", after=0.02) for n in range(4)]
    ids = [await app.enqueue(app.http.job("GET", url, serial_key="account:1")) for url in urls[:2]]
    ids += [
        db.execute("select howdah.http('GET', %s, serial_key => 'account:1')", [url]).fetchone()[0]
        for url in urls[2:]
    ]

    async with calling():
        await asyncio.gather(*(app.http.answer(each, timeout=10) for each in ids))

    assert [hit.path for hit in server.hits] == ["/0", "/1", "/2", "/3"]
    assert server.peak == 1


async def test_a_limit_holds_for_url_jobs(app, db, server, calling):
    db.execute("select howdah.put_limit('stripe', 2)")
    job = app.http.job("GET", server.on("/", after=0.05), limit_keys=["stripe"])

    async with calling():
        ids = await app.enqueue_many([job] * 8)
        await asyncio.gather(*(app.http.answer(each, timeout=10) for each in ids))

    assert server.peak == 2


async def test_a_unique_key_of_a_url_job_may_replace_what_waits(app, db, server, calling):
    def job(path):
        return app.http.job("GET", server.on(path), unique_key="k", on_conflict="replace")

    first, second = await app.enqueue(job("/old")), await app.enqueue(job("/new"))
    third = db.execute(
        "select howdah.http('GET', %s, unique_key => 'k', on_conflict => 'existing')",
        [server.on("/no")],
    ).fetchone()[0]

    async with calling():
        await app.http.answer(first, timeout=10)

    assert first == second == third
    assert [hit.path for hit in server.hits] == ["/new"]


def test_rows_of_http_jobs_may_have_keys(db):
    db.execute(
        "insert into howdah.http_jobs (url, serial_key, limit_keys)"
        " values ('https://x.org/', 'a', '{b}')"
    )

    assert db.execute("select serial_key, limit_keys from howdah.http_jobs").fetchone() == (
        "a", ["b"],
    )  # fmt: skip


async def test_an_answer_and_steps_that_come_at_the_same_moment_are_both_stored(
    app, server, calling, use, ended, monkeypatch
):
    @app.task(name="grow")
    async def grow(ctx: Context) -> None:
        ctx.workflow.add("more", use.job(5))

    put, held = Finisher.put, []

    def put_two_at_once(finisher, outcome, **how):
        held.append(outcome)
        for each in held if len(held) == 2 else held[2:]:
            put(finisher, each, **how)
        del held[2:]

    monkeypatch.setattr(Finisher, "put", put_two_at_once)
    flow = Workflow("both").add("grow", grow.job()).add("call", app.http.job("GET", server.on("/")))

    async with calling():
        run = await ended(await app.enqueue(flow))

    assert run.state == "succeeded"
    assert json.loads(run.result)["more"] == 5


async def test_an_answer_and_steps_in_one_call_are_refused_with_what_to_do():
    answer = Answer(status=200, headers=(), body=b"", duration=0, attempts=1, url="https://a/")
    ends = [
        Succeeded(id=uuid4(), lease=uuid4(), answer=answer),
        Succeeded(id=uuid4(), lease=uuid4(), steps="[]"),
    ]

    with pytest.raises(BadInput, match="cannot be stored in one call"):
        jobs.finish(ends)
