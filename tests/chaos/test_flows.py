"""Schedules and workflows of a run, without its faults: what they leave is found to be right."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import asyncpg

from chaos import flow_invariants, flow_load, flow_program, flow_store, store
from chaos.history import Change, Flow, FlowAsked, History, Job, Member, Tick, rows
from howdah import App, Retry

AUDIT = Path(flow_store.__file__).with_name("audit.sql")
DUMPED = {"jobs": Job, "audit": Change, "ticks": Tick, "flows": Flow, "members": Member}


async def test_what_schedules_and_workflows_leave_is_right(own_dsn: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(own_dsn)
    await connection.execute(AUDIT.read_text())
    server = SimpleNamespace(do=connection.execute, one=connection.fetchval, rows=connection.fetch)
    world: Any = SimpleNamespace(server=server)
    await flow_store.put(world)
    flows = [flow_load.flow(Random(n), n) for n in range(1, 11)]
    for one in flows:
        if one.shape == "graph":
            statement, given = "howdah.start_workflow($1, $2)", [one.name, flow_load.steps(one)]
        else:
            statement = "howdah.start_request($1::text[], name => $2, args => $3)"
            args = f'{{"run": {one.key}, "width": {one.width}}}'
            given = [[*flow_load.PIPELINES], one.name, args]
        await connection.execute(f"select {statement}", *given)

    async with App(own_dsn) as app:
        flow_program.declare(app, Retry(max_attempts=4, first=0.05))
        async with app.worker():
            while not await connection.fetchval("select count(*) > 2 from howdah.ticks"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            rules = await flow_store.end_schedules(world)
            while await store.open_jobs(world):  # noqa: ASYNC110 - the worker is at it
                await asyncio.sleep(0.05)
    found = {}
    for name, statement in store.DUMPS.items():
        await connection.copy_from_query(statement, output=tmp_path / name, format="text")
    for name, kind in DUMPED.items():
        found[name] = [*rows(tmp_path / f"{name}.tsv", kind)]
    await connection.close()

    history = History(facts={"schedules": rules}, ticks=found["ticks"], flows=found["flows"])
    history.members, history.changes = found["members"], lambda: found["audit"]
    history.add(*found["jobs"])
    history.flows_asked = {one.key: FlowAsked("ok", one.shape, one.width) for one in flows}
    assert [*flow_invariants.ticks(history)] == []
    assert [*flow_invariants.flows(history)] == []
    assert {one.shape for one in flows} == {"request", "graph"}
    assert {flow.state for flow in found["flows"]} == {"S"}  # else their last steps never begin
    assert len(history.ticks) > 2
