"""Schedules and pipelines of a run: put before it begins, and ended before all is quiet."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from chaos.flow_load import PIPELINES, pipeline_steps
from chaos.world import World

SECOND = 1_000_000  # µs
FIRED_WITHIN = 20.0  # seconds, once all is healed, for what was due before
RRULE = "DTSTART:20240101T000000Z\nRRULE:FREQ=SECONDLY;INTERVAL=3"
SCHEDULES = {  # how each is said, and every how many seconds it fires
    "line": ("cron", "* * * * * *", 1),
    "interval": ("every", "2 s", 2),
    "rule": ("rrule", RRULE, 3),
}  # fmt: skip
KNOWN = """
select name, (extract(epoch from starts_at) * 1e6)::bigint as starts_at,
       (extract(epoch from created_at) * 1e6)::bigint as created_at from _howdah.schedule
"""
# A tick is what its job says of itself, not what the store has noted down beside.
TICKS = """
select headers ->> 'schedule',
       (extract(epoch from (headers ->> 'tick')::timestamptz) * 1e6)::bigint, id
from (select id, headers from _howdah.job union all select id, headers from _howdah.finished) j
where headers ? 'schedule'
"""
FLOWS = "select substr(name, 6)::bigint, id, state from _howdah.workflow where name like 'flow %'"
MEMBERS = """
select m.job_id, substr(w.name, 6)::bigint, regexp_replace(s.name, '^.*/', ''), m.place, m.state,
       m.result
from _howdah.member m
join _howdah.step s on s.id = m.step join _howdah.workflow w on w.id = s.workflow
where w.name like 'flow %'
"""
DUMPS = {"ticks.tsv": TICKS, "flows.tsv": FLOWS, "members.tsv": MEMBERS}


async def put(world: World) -> None:
    """Schedules, and pipelines for requests."""
    for name, (kind, text, _) in SCHEDULES.items():
        await world.server.do(
            f"select howdah.put_schedule('{name}', 'tick', {kind} => '{text}', missed => 'all')"
        )
    for name, (order, names) in PIPELINES.items():
        await world.server.do(
            f"select howdah.put_pipeline('{name}', '1', {order}, '{pipeline_steps(names)}')"
        )


async def end_schedules(world: World) -> dict[str, dict[str, int]]:
    """Let them catch up, and pause them; gives when each had to fire, in µs."""
    until = await world.server.one("select (extract(epoch from clock_timestamp()) * 1e6)::bigint")
    behind = (
        f"select exists (select from _howdah.schedule where handled < to_timestamp({until} / 1e6))"
    )
    began = time.monotonic()
    while await world.server.one(behind) and time.monotonic() < began + FIRED_WITHIN:
        await asyncio.sleep(0.1)
    await world.server.do("select howdah.pause_schedule(name) from howdah.schedules")
    return {row["name"]: _when(dict(row), until) for row in await world.server.rows(KNOWN)}


def _when(row: dict[str, Any], until: int) -> dict[str, int]:
    kind, _, seconds = SCHEDULES[row["name"]]
    anchor = row["starts_at"] if kind == "every" else 0  # 2024 began with a multiple of 3 s
    return {"since": row["created_at"], "until": until, "anchor": anchor, "step": seconds * SECOND}
