"""The page for those who come from somewhere, followed: what it says of our side is so."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest


@pytest.mark.slow  # ten programs are started, nine seconds of CPU
async def test_coming_from(reading: Any, own_dsn: str) -> None:
    reader = reading("docs/coming-from.md", own_dsn)

    await reader.follow()

    with psycopg.connect(own_dsn) as db:
        moved = db.execute(
            "select task, args, priority, serial_key from howdah.jobs where task in "
            "('report', 'orders.tasks.confirm', 'email.send') order by created_at, priority desc"
        ).fetchall()
        left = db.execute(
            "select (select count(*) from ipo_job), (select count(*) from mq_job), "
            "(select count(*) from dpq_job), (select count(*) from job_queue), "
            "(select count(*) from jobs.job_queue), (select count(*) from pgqueuer), "
            "(select count(*) from procrastinate_jobs where status = 'todo')"
        ).fetchone()
        urls = db.execute("select url from howdah.http_jobs order by url").fetchall()
    assert ("report", {"customer": "bob"}, 0, "bob") in moved
    assert ("orders.tasks.confirm", {"order": 3}, 5, None) in moved
    assert ("email.send", {"body": [1]}, 0, None) in moved
    assert left == (0,) * 7
    assert urls == [("https://example.org/",), ("https://example.org/a",)]
