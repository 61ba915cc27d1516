"""A producer of workflows: says what it is about to start, does it, and says what came of it.

python -m chaos.flow_producer flow NUMBER SEED FLOWS SECONDS
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from chaos.flow_load import PIPELINES, Flow, flow, steps
from chaos.log import Log
from chaos.producer import PAUSE, WITHIN, BySql, RolledBack, refused

REQUEST = "select howdah.start_request(%s::text[], %s::jsonb, name => %s)"
GRAPH = "select howdah.start_workflow(%s, %s::jsonb)"
ROLLED_BACK = 0.15  # share of them


class OfFlows(BySql):
    """One at a time."""

    sizes = (1,)

    async def run(self) -> None:
        """Until so many were acknowledged, or the time is over."""
        asked = 0
        async for _ in self.paced():
            await self.started(flow(self.chance, self.first + asked))
            asked += 1
        await self.close()

    async def started(self, one: Flow) -> None:
        """Start it, and write down what came of it."""
        about: dict[str, Any] = {"k": one.key, "shape": one.shape, "width": one.width}
        self.log.write("flow_invoke", **about)
        try:
            async with asyncio.timeout(WITHIN):
                made = await self.start(one)
        except RolledBack:
            self.log.write("flow_fail", **about, why="rolled back")
        except Exception as error:
            code = refused(error)
            said = {"why": f"{type(error).__name__}: {error}"[:200], "code": code}
            self.log.write("flow_info" if code is None else "flow_fail", **about, **said)
            await self.recover()
            await asyncio.sleep(PAUSE)
        else:
            self.acknowledged += 1
            self.log.write("flow_ok", **about, n=1, id=str(made))

    async def start(self, one: Flow) -> UUID:
        """In a transaction of its own; its id."""
        connection = await self.connected()
        is_meant = self.chance.random() > ROLLED_BACK
        async with connection.transaction():
            if one.shape == "graph":
                cursor = await connection.execute(GRAPH, [one.name, steps(one)])
            else:
                asked = [[*PIPELINES], json.dumps(one.args), one.name]
                cursor = await connection.execute(REQUEST, asked)
            row = await cursor.fetchone()
            if not is_meant:
                raise psycopg.Rollback
        if not is_meant:
            raise RolledBack
        assert row is not None
        made: UUID = row[0]
        return made


def main(number: int, seed: int, flows: int, seconds: float) -> None:
    """Run one producer to its end."""
    log = Log(Path(os.environ["CHAOS_FOLDER"]) / "log" / f"producer-{number}.jsonl")
    asyncio.run(OfFlows(number, seed, flows, seconds, log).run())


if __name__ == "__main__":
    main(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
