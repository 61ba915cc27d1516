"""T26: anybody may notify on any channel; a flood wakes nobody more often than is good for all."""

from __future__ import annotations

import threading
import time

import psycopg

from howdah import App
from howdah.worker.link import Link

SECONDS = 2.0
CLAIMS_A_SECOND = 25  # those of polls, and of real jobs, too


async def test_t26_a_flood_of_notifications_makes_no_flood_of_claims(
    app: App, dsn, eventually, monkeypatch
):
    claims, run = [], Link.run

    async def counted(self, call, **options):
        if ".claim(" in call.render("howdah"):
            claims.append(time.monotonic())
        return await run(self, call, **options)

    monkeypatch.setattr(Link, "run", counted)
    app.task(name="t")(lambda: None)
    sent, stop = [], threading.Event()

    def flood() -> None:
        with psycopg.connect(dsn, autocommit=True) as rogue:
            [worker] = rogue.execute("select left(id::text, 8) from howdah.workers").fetchone()
            while not stop.is_set():
                rogue.execute(
                    "select pg_notify(howdah.channel(), p || g || p2)"
                    " from generate_series(1, 100) g,"
                    " (values ('w', ',' || %s), ('', ''), ('f', 'x'), ('c', %s)) v (p, p2)",
                    [worker, worker],
                )
                sent.append(400)

    async with app.worker():
        await eventually(lambda: len(claims) > 1)
        rogue = threading.Thread(target=flood)
        rogue.start()
        await eventually(lambda: sum(sent) > 1000)
        began, before = time.monotonic(), len(claims)
        await eventually(lambda: time.monotonic() - began > SECONDS, within=SECONDS + 5)
        during, took = len(claims) - before, time.monotonic() - began
        job_id = await app.enqueue(app.tasks["t"].job())
        await app.result(job_id, timeout=10)
        stop.set()
        rogue.join()

    assert sum(sent) > 4000
    assert during / took <= CLAIMS_A_SECOND
