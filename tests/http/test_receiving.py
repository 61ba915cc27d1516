"""howdah.receive: jobs pushed to a web application, which runs the tasks they name."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import howdah
from howdah import App, BadInput, Cancel, JobFailed, Retry, Snooze, signature
from howdah.references import result

SECRET = "k3y"


@pytest.fixture
def site():
    """The app of a web application, which needs no database."""
    site = App("postgresql://nobody@127.0.0.1:1/none")

    @site.task(name="add")
    async def add(a: int, b: int = 0) -> int:
        return a + b

    @site.task(name="plain")
    def plain() -> str:
        return "ü"

    @site.task(name="ends")
    async def ends(how: str) -> None:
        match how:
            case "error":
                raise RuntimeError("broke")
            case "snooze":
                raise Snooze(7)
            case "cancel":
                raise Cancel("gone")
            case _:
                raise howdah.Fail("never")

    @site.task(name="stored", delivery="transactional")
    async def stored() -> None: ...

    return site


async def pushed(receiver, body, *, secret=SECRET, headers=None, method="POST"):
    """Status, headers and JSON of what an ASGI application answers."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if headers is None:
        headers = signature.headers(secret, job=uuid4(), lease=uuid4(), attempt=1, body=raw)
    scope = {
        "type": "http", "method": method,
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers],
    }  # fmt: skip
    parts = [
        {"type": "http.request", "body": raw[:5], "more_body": True},
        {"type": "http.request", "body": raw[5:]},
    ]
    sent = []

    async def receive():
        return parts.pop(0)

    async def send(message):
        sent.append(message)

    await receiver(scope, receive, send)
    found = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], found, json.loads(sent[1]["body"])


async def test_a_signed_push_runs_the_task_and_answers_with_its_result(site):
    receiver = howdah.receive(site, secret=["new", SECRET])

    assert await pushed(receiver, {"task": "add", "args": {"a": 1, "b": 2}}) == (
        200, {"content-type": "application/json", "content-length": "12"}, {"result": 3},
    )  # fmt: skip
    assert (await pushed(receiver, {"task": "plain"}, secret="new"))[2] == {"result": "ü"}


async def test_what_is_not_signed_runs_nothing(site):
    receiver = howdah.receive(site, secret=SECRET)
    body = {"task": "plain"}

    assert (await pushed(receiver, body, headers=[]))[0] == 401
    assert (await pushed(receiver, body, secret="other"))[0] == 401
    assert (await pushed(receiver, body, method="GET"))[0] == 405
    assert (await pushed(howdah.receive(site, secret=SECRET, max_body=9), body))[0] == 413


async def test_what_is_sent_again_is_refused(site):
    receiver, raw = howdah.receive(site, secret=SECRET), b'{"task": "plain"}'
    headers = signature.headers(SECRET, job=uuid4(), lease=uuid4(), attempt=1, body=raw)

    assert (await pushed(receiver, raw, headers=headers))[0] == 200
    assert (await pushed(receiver, raw, headers=headers))[0] == 409


async def test_what_cannot_run_is_said_and_what_may_later_is_asked_for_again(site):
    receiver = howdah.receive(site, secret=SECRET)

    async def status(task, **args):
        return (await pushed(receiver, {"task": task, "args": args}))[0]

    assert (await pushed(receiver, b"nonsense"))[0] == 400
    assert await status("os.system") == 404
    assert await status("add", a="x") == 422
    assert await status("stored") == 422
    assert await status("ends", how="fail") == 422
    assert await status("ends", how="cancel") == 422
    assert await status("ends", how="error") == 503
    snoozed = await pushed(receiver, {"task": "ends", "args": {"how": "snooze"}})
    assert (snoozed[0], snoozed[1]["retry-after"]) == (503, "7")


def test_of_two_threads_with_one_request_one_is_refused(site):
    class Slow(dict):
        def __contains__(self, token):
            found = super().__contains__(token)
            time.sleep(0.02)
            return found

    receiver = howdah.receive(site, secret=SECRET)
    receiver._seen = Slow()
    body = b'{"task":"add","args":{"a":1}}'
    headers = dict(signature.headers(SECRET, job=uuid4(), lease=uuid4(), attempt=1, body=body))

    with ThreadPoolExecutor(2) as threads:
        ask = lambda _: asyncio.run(receiver.handle("POST", headers, body)).status  # noqa: E731
        statuses = [*threads.map(ask, range(2))]

    assert sorted(statuses) == [200, 409]


def test_a_pushed_job_is_run_when_and_as_often_as_it_says_itself(site):
    @site.task(name="once", retry=Retry(max_attempts=1), timeout=300, unique="once:{n}")
    def once(n: int) -> None: ...

    @site.task(name="most", delivery="at_most_once", no_timeout=True, queue="slow")
    def most() -> None: ...

    own = once.options(delay=9, priority=5, serial_key="s", id=(me := uuid4()), headers={"a": 1})
    pushed = site.http.push(own.job(7), "https://site.example/", sign="push").options
    told = {"run_at": datetime(2030, 1, 1, tzinfo=UTC), "timeout": 7, "queue": "mine"}
    other = site.http.push(own.job(7), "https://site.example/", sign="push", **told).options
    plain = site.http.push(site.tasks["add"].job(1), "https://site.example/", sign="push").options
    at_most = site.http.push(most.job(), "https://site.example/", sign="push").options

    assert (pushed.max_attempts, pushed.unique_key, pushed.timeout) == (1, "once:7", 305)
    assert (pushed.delay, pushed.priority, pushed.id, pushed.queue) == (9, 5, me, "http")
    assert pushed.keys.serial_key == "s"
    assert pushed.headers is None
    assert (other.delay, other.timeout, other.queue) == (None, 7, "mine")
    assert other.run_at == told["run_at"]
    assert (plain.timeout, plain.queue) == (65, "http")
    assert (at_most.delivery, at_most.timeout, at_most.queue) == ("at_most_once", 86_400, "http")


def test_what_no_application_can_run_is_not_pushed(site):
    for job in (site.tasks["stored"].job(), site.tasks["add"].job(result("other"))):
        with pytest.raises(BadInput):
            site.http.push(job, "https://site.example/", sign="push")


def test_a_receiver_without_a_secret_is_refused(site):
    for secret in ("", [], ["", "x"]):
        with pytest.raises(BadInput):
            howdah.receive(site, secret=secret)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


async def test_a_pushed_job_runs_in_a_web_application_and_ends_as_its_task_did(
    app, db, site, calling, monkeypatch
):
    monkeypatch.setenv("HOWDAH_SECRET_PUSH", SECRET)
    web = make_server("127.0.0.1", 0, howdah.receive(site, secret=SECRET).wsgi, handler_class=Quiet)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}/howdah"
    db.execute("select howdah.http_allow(%s)", [url])

    async with calling():
        good = await app.enqueue(app.http.push(site.tasks["add"].job(4, 5), url, sign="push"))
        bad = await app.enqueue(app.http.push(site.tasks["ends"].job("fail"), url, sign="push"))
        answer = await app.http.answer(good, timeout=10)
        with pytest.raises(JobFailed) as failed:
            await app.http.answer(bad, timeout=10)
    await asyncio.to_thread(web.shutdown)
    web.server_close()

    assert answer.json() == {"result": 9}
    assert "answered 422" in failed.value.error
