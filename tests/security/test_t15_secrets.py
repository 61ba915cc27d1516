"""T15, T07: planted arguments, passwords and lease tokens turn up in no sink of ours.

Where --log-args was given, arguments are logged: tests/parent/test_watched.py.
"""

from __future__ import annotations

import json
import logging

import psycopg
import pytest

from howdah import App, Context, Retry
from howdah.logs import JsonLines, Lines

ARGUMENT, PASSWORD, HEADER = "m4rk-of-an-argument", "m4rk-of-a-password", "m4rk-of-a-header"


@pytest.fixture
def app_with_a_password(dsn: str) -> App:
    """An app whose tasks end in every way, and whose URL has a password in it."""
    app = App(dsn.replace("@", f":{PASSWORD}@", 1))
    seen: list[str] = []
    app.seen = seen  # type: ignore[attr-defined]

    @app.task(name="fine")
    async def fine(ctx: Context, word: str):
        seen.extend([repr(ctx), str(ctx.fence)])

    @app.task(name="breaks", retry=Retry(max_attempts=1))
    async def breaks(word: str):
        raise ValueError("no")

    @app.task(name="number", retry=Retry(max_attempts=1))
    async def number(word: int): ...

    @app.task(name="late", timeout=0.1, retry=Retry(max_attempts=1))
    async def late(word: str):
        import asyncio

        await asyncio.sleep(5)

    @app.task(name="thread", retry=Retry(max_attempts=1))
    def thread(word: str):
        raise SystemExit(3)

    return app


def written(records: list[logging.LogRecord]) -> str:
    """All that any formatter could make of them."""
    ours = [record for record in records if not record.name.startswith("psycopg")]
    return "\n".join(
        text
        for record in ours
        for text in (Lines().format(record), JsonLines().format(record), repr(vars(record)))
    )


async def test_t15_no_log_line_event_or_notification_holds_them(
    app_with_a_password, dsn, logged, eventually
):
    app, told = app_with_a_password, []
    app.events.subscribe(lambda event: told.append(repr(event)))
    with psycopg.connect(dsn, autocommit=True) as sql:
        sql.execute(f'listen "{sql.execute("select howdah.channel()").fetchone()[0]}"')
        async with app, app.worker():
            jobs = [
                sql.execute(
                    "select howdah.enqueue(%s, %s, headers => %s)",
                    [task, json.dumps({"word": ARGUMENT}), json.dumps({"trace": HEADER})],
                ).fetchone()[0]
                for task in app.tasks
            ]
            await eventually(
                lambda: sql.execute(
                    "select count(*) from howdah.jobs where state in ('succeeded', 'failed')"
                ).fetchone()[0] == len(jobs)
            )  # fmt: skip
            activity = sql.execute(
                "select string_agg(application_name || query, ' ') from pg_stat_activity"
                " where pid <> pg_backend_pid()"
            ).fetchone()[0]
        payloads = [note.payload for note in sql.notifies(timeout=0)]
        errors = sql.execute("select string_agg(error, ' ') from howdah.jobs").fetchone()[0]

    lines, [context, token] = written(logged), app.seen
    assert "worker" in lines
    assert "ValueError" in lines
    everything = {"lines": lines, "events": "\n".join(told), "payloads": " ".join(payloads),
                  "errors": errors, "activity": activity, "context": context,
                  "reprs": repr([app, app.settings, *app.tasks.values()])}  # fmt: skip
    for marker in (ARGUMENT, PASSWORD, HEADER, token):
        assert [sink for sink, text in everything.items() if marker in text] == [], marker


def test_t15_a_job_that_is_shown_in_a_traceback_or_a_debugger_shows_no_arguments(
    app_with_a_password,
):
    task = app_with_a_password.tasks["fine"]
    job = task.options(headers={"trace": HEADER}).job(ARGUMENT)

    shown = repr(job) + str(job) + repr(job.options)

    assert "fine" in shown
    assert ARGUMENT not in shown
    assert HEADER not in shown


COMMANDS = [
    "jobs why 0",
    "jobs show 0",
    "queues list",
    "workers list",
    "tasks list",
    "config",
    "doctor",
    "db url",
    "db check",
    "chores",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_t15_no_command_that_lists_or_looks_shows_them(run, dsn, monkeypatch, command):
    monkeypatch.setenv("DATABASE_URL", dsn.replace("@", f":{PASSWORD}@", 1))
    with psycopg.connect(dsn, autocommit=True) as sql:
        sql.execute("select howdah.enqueue('t', %s)", [json.dumps({"word": ARGUMENT})])

    ran = run(*command.split())

    assert ran.out + ran.err
    assert ARGUMENT not in ran.out + ran.err
    assert PASSWORD not in ran.out + ran.err
