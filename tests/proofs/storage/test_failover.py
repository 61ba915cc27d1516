"""A standby takes over: who still holds a claim of the old primary is refused; what is lost?"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from uuid import UUID

import asyncpg
import pytest

from howdah import App, Context, HowdahError
from howdah.events import LeaseRefused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FIRST_CLAIM_WITHIN = 10.0
CLAIM = "select id, attempt, lease from howdah.claim(n => 1)"
NOTHING_OPEN = "select count(*) = 0 from _howdah.job"
STATE = "select state from howdah.jobs where id = $1"


@pytest.fixture
async def pair(servers, installed, streaming):
    """A primary, a standby that follows it, and the link between them; commits do not wait."""
    primary = await servers.primary()
    await installed(primary)
    link = servers.road(primary)
    standby = await servers.standby(primary, link)
    await streaming(primary, sync=False)
    return primary, standby, link


async def test_both_sides_give_the_same_attempt_and_only_the_token_tells_them_apart(
    pair, replayed, session
):
    primary, standby, link = pair
    job_id = await primary.one("select howdah.enqueue('job')")
    await replayed(primary, standby)

    await link.refuse(True)
    await link.cut()
    zombie = await session(primary)
    [first] = await zombie.fetch(CLAIM)  # in the tail that nobody else will ever see
    await primary.end(signal.SIGKILL)
    await standby.promote()
    winner = await session(standby)
    [second] = await winner.fetch(CLAIM)

    assert (first["id"], first["attempt"]) == (second["id"], second["attempt"]) == (job_id, 1)
    assert first["lease"] != second["lease"]
    for verb in ("ack", "nack", "release"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await winner.execute(f"select howdah.{verb}($1, $2)", job_id, first["lease"])
        assert refused.value.sqlstate == "JQ002"
    with pytest.raises(asyncpg.PostgresError):
        await winner.execute("select howdah.extend($1, $2, '1 min')", job_id, first["lease"])
    assert await winner.fetchval(STATE, job_id) == "running"

    await primary.start()  # and is a primary still, for whoever asks it
    back = await session(primary)
    await back.execute("select howdah.ack($1, $2)", job_id, first["lease"])
    assert await back.fetchval(STATE, job_id) == "succeeded"
    assert await winner.fetchval(STATE, job_id) == "running"
    await winner.execute("select howdah.ack($1, $2)", job_id, second["lease"])
    assert await winner.fetchval(STATE, job_id) == "succeeded"


async def test_a_worker_that_ran_a_job_of_the_lost_tail_is_refused_and_told(
    pair, servers, together, replayed, eventually
):
    primary, standby, link = pair
    roads = [servers.road(primary), servers.road(standby)]
    app = App(together(*roads), poll_every=0.2)
    fences: list[UUID] = []
    attempts: list[int] = []
    gates = [asyncio.Event(), asyncio.Event()]
    refused: list[LeaseRefused] = []
    app.events.subscribe(lambda e: refused.append(e) if isinstance(e, LeaseRefused) else None)

    @app.task(name="job", timeout=None)
    async def job(ctx: Context):
        n = len(fences)
        fences.append(ctx.fence)
        attempts.append(ctx.attempt)
        await gates[min(n, 1)].wait()

    async with app, app.worker():
        job_id = await job.options(delay=2.0).enqueue()
        await replayed(primary, standby)
        await link.refuse(True)
        await link.cut()
        await eventually(lambda: len(fences) == 1, within=15)
        await primary.end(signal.SIGKILL)
        await standby.promote()
        promoted = time.monotonic()
        await eventually(lambda: len(fences) == 2, within=FIRST_CLAIM_WITHIN)
        took = time.monotonic() - promoted
        gates[0].set()  # the first run ends, with a token that the new primary never gave
        await eventually(lambda: refused, within=15)
        assert await standby.one(STATE, job_id) == "running"
        gates[1].set()
        await eventually(lambda: standby.one(f"{STATE} and state = 'succeeded'", job_id), within=15)

    assert took < FIRST_CLAIM_WITHIN
    assert attempts == [1, 1]
    assert fences[0] != fences[1]
    assert [event.job_id for event in refused] == [job_id]
    assert await standby.one("select count(*) from howdah.attempts where outcome = 'failed'") == 0


@pytest.mark.parametrize("sync", [True, False], ids=["synchronous", "asynchronous"])
async def test_what_was_acknowledged_is_there_after_a_promotion_or_in_the_lost_tail(
    servers, installed, streaming, together, eventually, scaled, chance, record, sync
):
    """In each round a standby takes over, while one producer goes on, one job after the other."""
    primary = await servers.primary()
    await installed(primary)
    roads = [servers.road(primary), servers.road(primary)]
    await roads[1].refuse(True)
    app = App(together(*roads), poll_every=0.2)
    starts: dict[int, list[float]] = {}
    acknowledged: list[tuple[int, UUID]] = []
    losses, tails, first_claims, rounds = Counter[str](), [], [], scaled(8, least=2)

    @app.task(name="job")
    async def job(n: int):
        starts.setdefault(n, []).append(time.monotonic())

    async def produce():
        n = 0
        while True:
            n += 1
            try:
                acknowledged.append((n, await app.enqueue(job.job(n))))
            except HowdahError:
                await asyncio.sleep(0.05)

    async with app, app.worker():
        producing = asyncio.create_task(produce())
        for turn in range(rounds):
            link = servers.road(primary)
            standby = await servers.standby(primary, link)
            await streaming(primary, sync=sync)
            if not sync:
                await link.delay(0.05, 0.15)  # it lags, as one does that is far away
            before = len(acknowledged)
            await eventually(lambda before=before: len(acknowledged) > before + 30, within=20)
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            await link.refuse(True)
            await link.cut()
            await primary.end(signal.SIGKILL)
            for road in roads:
                await road.refuse(True)
            taken = [*acknowledged]
            await standby.promote()
            promoted = time.monotonic()
            here, there = roads[turn % 2], roads[(turn + 1) % 2]
            await there.lead_to(standby.socket)
            await there.refuse(False)
            await here.cut()
            await eventually(
                lambda since=promoted: any(at[-1] > since for at in starts.values()),
                within=FIRST_CLAIM_WITHIN + 5,
            )
            first = min(t for at in starts.values() for t in at if t > promoted)
            first_claims.append(first - promoted)
            present = {r["id"] for r in await standby.rows("select id from howdah.jobs")}
            gone = [pair for pair in taken if pair[1] not in present]
            losses["acknowledged and lost"] += len(gone)
            tails.append(len(gone))
            assert gone == taken[len(taken) - len(gone) :]  # the tail, and nothing from within
            acknowledged[:] = [pair for pair in acknowledged if pair not in gone]
            await link.cut()
            await servers.remove(primary)
            primary = standby
        producing.cancel()
        await eventually(lambda: primary.one(NOTHING_OPEN), within=30)
        states = await primary.rows("select id, state from howdah.jobs")

    kept = {row["id"]: row["state"] for row in states}
    record(
        "promotion to the first job", first_claims, FIRST_CLAIM_WITHIN,
        promotions=rounds, kind="sync" if sync else "async", acknowledged=len(acknowledged),
        lost=losses["acknowledged and lost"], longest_tail=max(tails),
    )  # fmt: skip
    assert {kept.get(job_id) for _, job_id in acknowledged} == {"succeeded"}
    assert max(first_claims) < FIRST_CLAIM_WITHIN
    if sync:
        assert losses["acknowledged and lost"] == 0
