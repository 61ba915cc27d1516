"""A user of ipo: a row is inserted, the call it stands for is made, the answer is in the row."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

import psycopg
import pytest

from howdah import App


@pytest.fixture
def site() -> Iterator[str]:
    class Now(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"now": "it is now"}')

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Now)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/datetime-now/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def call(app: App) -> None:
    @app.task(name="call", retry=None, timeout=5)
    def call(url: str) -> dict[str, object]:
        with urlopen(url, timeout=5) as response:
            return {"status": response.status, "body": response.read().decode()}


@pytest.mark.usefixtures("call")
async def test_a_row_that_is_inserted_is_called_and_the_answer_stands_in_the_row(
    app: App, db: psycopg.Connection, site: str
) -> None:
    async with app.worker():
        [(job_id,)] = db.execute(
            "insert into howdah.jobs (task, args)"
            " values ('call', jsonb_build_object('url', %s::text)) returning id",
            [site],
        ).fetchall()
        answer = await app.result(job_id, timeout=10)

    assert answer == {"status": 200, "body": '{"now": "it is now"}'}
    assert db.execute("select state, result->>'status' from howdah.jobs").fetchall() == [
        ("succeeded", "200")
    ]


@pytest.mark.usefixtures("call")
async def test_rows_inserted_while_nobody_was_there_are_called_when_somebody_comes(
    app: App, db: psycopg.Connection, site: str
) -> None:
    ids = [
        row[0]
        for _ in range(10)
        for row in db.execute(
            "select howdah.enqueue('call', jsonb_build_object('url', %s::text))", [site]
        )
    ]

    async with app.worker():
        answers = await asyncio.gather(*(app.result(job_id, timeout=10) for job_id in ids))

    assert [answer["status"] for answer in answers] == [200] * 10


@pytest.mark.usefixtures("call")
async def test_a_url_that_is_none_is_an_error_that_is_written_down(
    app: App, db: psycopg.Connection
) -> None:
    [(job_id,)] = db.execute(
        "select howdah.enqueue('call', '{\"url\": \"asdf\"}', max_attempts => 1)"
    ).fetchall()

    async with app.worker() as worker:
        await worker.idle()

    [(state, error)] = db.execute(
        "select state, error from howdah.jobs where id = %s", [job_id]
    ).fetchall()
    assert state == "failed"
    assert "asdf" in error


async def test_an_inserted_row_that_is_rolled_back_is_never_called(
    app: App, dsn: str, db: psycopg.Connection
) -> None:
    calls: list[str] = []

    @app.task(name="call")
    def call(url: str) -> None:
        calls.append(url)

    async with app.worker() as worker:
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "insert into howdah.jobs (task, args) values ('call', '{\"url\": \"a\"}')"
            )
            connection.rollback()
            connection.execute(
                "insert into howdah.jobs (task, args) values ('call', '{\"url\": \"b\"}')"
            )
        [(job_id,)] = db.execute("select id from howdah.jobs").fetchall()
        await app.result(job_id, timeout=10)
        await worker.idle()

    assert calls == ["b"]
