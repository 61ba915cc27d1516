"""Each program of examples/ does what it says."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import psycopg
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(own_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """The program as a module, on a database of this test's own."""
    monkeypatch.setenv("DATABASE_URL", own_dsn)

    def loaded(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return loaded


@pytest.fixture
def db(own_dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        yield connection


@pytest.mark.filterwarnings("ignore:Using `httpx` with")
def test_fastapi_enqueues_with_the_request_and_waits_for_the_result(
    example: Any, db: psycopg.Connection
) -> None:
    from starlette.testclient import TestClient

    web = example("fastapi_app").web
    with TestClient(web) as client:
        made = client.post("/people", params={"email": "ada"})
        again = client.post("/people", params={"email": "ada"})
        found = client.get(f"/jobs/{made.json()['job']}")
        unknown = client.get("/jobs/00000000-0000-0000-0000-000000000001")

    assert (made.status_code, again.status_code, unknown.status_code) == (202, 409, 404)
    assert found.json() == {"result": "welcomed ada, the 1. of us"}
    assert db.execute("select count(*) from howdah.jobs").fetchone() == (1,)


def test_flask_enqueues_with_the_request_and_waits_for_the_result(
    example: Any, db: psycopg.Connection
) -> None:
    module = example("flask_app")
    client = module.web.test_client()

    made = client.post("/people", data={"email": "ada"})
    again = client.post("/people", data={"email": "ada"})
    too_soon = client.get(f"/jobs/{made.json['job']}?wait=0.01")
    asyncio.run(worked(module.app))
    found = client.get(f"/jobs/{made.json['job']}")
    module.engine().dispose()

    assert (made.status_code, again.status_code, too_soon.status_code) == (202, 409, 504)
    assert found.json == {"result": "welcomed ada, the 1. of us"}
    assert db.execute("select count(*) from howdah.jobs").fetchone() == (1,)


async def worked(app: Any) -> None:
    async with app, app.worker() as worker:
        await worker.idle()


@pytest.mark.filterwarnings("ignore:Using `httpx` with")
def test_a_browser_sees_the_states_of_its_job(example: Any) -> None:
    from starlette.testclient import TestClient

    module = example("websocket_bridge")
    with TestClient(module.web) as client:
        assert "WebSocket" in client.get("/").text
        job = client.post("/jobs").json()["job"]
        seen = []
        with client.websocket_connect(f"/jobs/{job}") as socket:
            while not seen or seen[-1]["state"] != "succeeded":
                seen.append(socket.receive_json())

    states = [each["state"] for each in seen]
    assert states in (["ready", "running", "succeeded"], ["running", "succeeded"])
    assert seen[-1]["result"] == '"tea"'


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/no" else 200)
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_: Any) -> None:
        pass


def test_urls_are_called_and_their_answers_stored(example: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    root = f"http://127.0.0.1:{server.server_address[1]}"

    yes, no, bad = asyncio.run(example("ipo_urls").main(f"{root}/yes", f"{root}/no", "asdf"))
    server.shutdown()
    serving.join()
    server.server_close()

    assert yes == {"status": 200, "body": "here"}
    assert no == {"status": 404, "body": "here"}
    assert "Invalid URL 'asdf'" in str(bad)


def test_changes_that_ask_for_the_same_are_served_once(example: Any) -> None:
    said = asyncio.run(example("psycopg2_mq_session").main())

    assert sorted(said) == ["report for ada, attempt 1", "report for bob, attempt 1"]


def test_a_pipeline_fans_out_and_in(example: Any, db: psycopg.Connection) -> None:
    assert asyncio.run(example("pipeline").main(20)) == {"sitting": 10, "walking": 10}
    assert db.execute(
        "select task, count(*) from howdah.jobs where state = 'succeeded' group by 1 order by 1"
    ).fetchall() == [("assign", 1), ("classify", 20), ("merge", 1)]


def test_a_trigger_enqueues_and_plain_sql_works_off(example: Any) -> None:
    assert example("pgjobs_trigger").main() == [("ada", 1)]


@pytest.mark.slow  # four Django processes
def test_a_django_program_in_one_file(empty_dsn: str) -> None:
    said = ""
    for args in (
        ["migrate"],
        ["shell", "-c", "import dpq_program; dpq_program.order()"],
        ["howdah", "worker", "--burst"],
        ["howdah", "jobs", "list"],
    ):
        ran = subprocess.run(
            [sys.executable, "dpq_program.py", *args],
            cwd=EXAMPLES, env={**os.environ, "DATABASE_URL": empty_dsn, "COLUMNS": "160"},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        said += ran.stdout

    assert "bob's is taken back" in said
    assert said.count("tasks_of_dpq.tasks.confirm") == 1
    assert "succeeded" in said
