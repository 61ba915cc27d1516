"""`howdah http`: allow, call, wait; and `howdah worker --http`."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest
from serving import Server, reply

from howdah.cli import answers


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def allowed(run, server):
    """The server's URL, which an operator has allowed."""
    assert run("http", "allow", server.url()).code == 0
    return server


def test_what_is_allowed_is_listed_and_taken_back(run):
    added = run("http", "allow", "https://App.internal:8443/jobs/")
    again = run("http", "allow", "https://app.internal:8443/jobs/")
    [listed] = run("http", "allowed", "--json").json
    gone = run("http", "disallow", "https://app.internal:8443/jobs/")
    twice = run("http", "disallow", "https://app.internal:8443/jobs/")

    assert (added.code, "is allowed" in added.err) == (0, True)
    assert "already" in again.err
    assert listed == {"scheme": "https", "host": "app.internal", "port": 8443, "path": "/jobs/"}
    assert (gone.code, twice.code) == (0, 4)
    assert run("http", "allowed", "--json").json == []


@pytest.mark.parametrize("url", ["asdf", "https://x/a/../b", "https://x/?q", "https://u:p@x/"])
def test_what_cannot_be_allowed_is_refused(run, url):
    refused = run("http", "allow", url)

    assert refused.code == 2
    assert "hint:" in refused.err


def test_a_worker_of_urls_needs_no_app_and_a_call_prints_the_answer(howdah, run, allowed):
    allowed.on("/", lambda hit: reply("200 OK", hit.body or b"hello", ("X-A", "1")))
    allowed.on("/404", reply("404 Not Found", b"no"))
    worker = howdah.start("worker", "--http", "-p", "1")
    worker.until("http")

    plain = run("http", "call", allowed.url())
    sent = run("http", "call", allowed.url(), "-d", '{"a": 1}', "-H", "X-B: 2", "--json")
    missing = run("http", "call", allowed.url("/404"))
    failing = run("http", "call", allowed.url("/404"), "--fail")
    refused = run("http", "call", "http://169.254.169.254/")

    assert (plain.code, plain.out) == (0, "hello")
    assert "200 OK, 5 bytes" in plain.err
    assert (sent.json["body"], sent.json["status"], sent.json["attempts"]) == ('{"a":1}', 200, 1)
    assert ["X-A", "1"] in sent.json["headers"]
    assert allowed.hits[1].header("x-b") == "2"
    assert (missing.code, missing.out, failing.code) == (0, "no", 1)
    assert refused.code == 1
    assert "http://169.254.169.254 may not be called" in refused.err
    assert "169.254.169.254/x" not in worker.err


def test_who_waits_for_an_id_gets_the_answer_whenever_it_comes(howdah, run, allowed):
    url = allowed.on("/", reply("200 OK", b"late"))
    stored = run("http", "call", url, "--no-wait")
    job_id = stored.out.strip()

    in_vain = run("http", "wait", job_id, "--timeout", "0.2s")
    howdah.start("worker", "--http", "-p", "1", "--burst").ended()
    waited = run("http", "wait", job_id, "--json")
    nobody = run("http", "wait", "00000000-0000-0000-0000-000000000000")

    assert (in_vain.code, "howdah http wait" in in_vain.err) == (124, True)
    assert (waited.code, json.loads(waited.out)["body"]) == (0, "late")
    assert nobody.code == 4


def test_what_is_no_url_is_refused_before_it_is_stored(run, db):
    refused = run("http", "call", "asdf")

    assert refused.code == 2
    assert "Invalid URL 'asdf'" in refused.err
    assert db.execute("select count(*) from howdah.jobs").fetchone() == (0,)


def test_a_worker_with_nothing_to_do_says_how_it_could_call_urls(howdah):
    ran = howdah("worker")

    assert ran.code == 2
    assert "--http" in ran.err


def test_why_it_waits_does_not_steer_the_terminal(capsys):
    async def why(_):
        return "no worker listens to queue \x1b]0;owned\x07"

    asyncio.run(answers._say_why(why, uuid4()))

    assert capsys.readouterr().err == (
        r"still waiting: no worker listens to queue \x1b]0;owned\x07; "
        "howdah worker --http is one that calls URLs\n"
    )
