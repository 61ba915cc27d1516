"""A run from its first process to its dump: server, workers, producers, faults, and peace."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from chaos import flow_store, store
from chaos.defects import plant
from chaos.disk import Disk, move_to
from chaos.liveness import PROBE_KEYS, PROBES
from chaos.log import Log
from chaos.nemesis import Nemesis
from chaos.plan import Plan, Size
from chaos.pooler import Pooler
from chaos.producers import Producers
from chaos.proxy import Proxy
from chaos.server import Server
from chaos.workers import Crew, Workers, descendants
from chaos.world import Fault, NotHere, World

LOST_AFTER = 4.0  # seconds: short, so that there is much to rescue
DRAIN = 85.0  # seconds that all that is open may take once all is healed
PATIENT = {"HOWDAH_LOST_AFTER": "12", "HOWDAH_POLL_EVERY": "0.3"}
POOLED = {"HOWDAH_PREPARE": "false"}
ROOM = "8g"  # on the disk of the tables, a second copy of them included
LOOKS = 4


class Stage:
    """One run. `await run()` leaves logs, dump and facts in the folder."""

    def __init__(
        self,
        folder: Path,
        size: Size,
        plan: Plan,
        faults: Mapping[str, Fault],
        *,
        defect: str | None = None,
        own_mounts: bool = False,
    ) -> None:
        self.folder, self.size, self.plan, self.faults = folder, size, plan, faults
        self.defect, self._own_mounts = defect, own_mounts
        for part in ("log", "marks"):
            (folder / part).mkdir()
        self.log = Log(folder / "log" / "nemesis.jsonl")
        self.facts: dict[str, Any] = {
            "size": asdict(size), "seed": plan.seed, "planned": len(plan.steps),
            "clock": store.clock(), "defect": defect, "looks": [],
            "python": platform.python_version(), "machine": platform.platform(),
        }  # fmt: skip
        self._producers: Producers | None = None
        self._pooler: Pooler | None = None
        self._workers: Workers | None = None
        self._proxies: dict[str, Proxy] = {}
        self._server: Server | None = None
        self._disk: Disk | None = None
        self._began = time.monotonic()

    async def run(self) -> None:
        """All of it; what is not over within the limit is cut, and the run says so."""
        world = await self._set_up()
        try:
            async with asyncio.timeout(self._left):
                await self._load(world)
                self.log.write("phase", name="healed")
                if await self._drain(world):  # else no job is a lone one
                    await self._probe(world)
        except TimeoutError:
            self.facts["cut"] = f"not over within {self.size.limit:g} s"
        await self._tear_down(world)

    @property
    def _left(self) -> float:
        """Seconds until it is cut; one with a defect gets the time not to drain."""
        more = DRAIN if self.defect else 0.0
        return max(1.0, self.size.limit * 11 / 12 + more - self._age)

    @property
    def _age(self) -> float:
        return time.monotonic() - self._began

    # Setting up

    async def _set_up(self) -> World:
        server = self._server = Server(self.folder / "server")
        await server.start()
        await self._put_on_a_disk(server)
        self._proxies = {name: Proxy(server.socket) for name in ("worker", "producer", "direct")}
        self._pooler = await self._start_pooler(server)
        self._workers = Workers(
            self.folder, self._crews(), n=self.size.workers, slots=self.size.slots,
            lost_after=LOST_AFTER, note=self.log.write,
            environment={"CHAOS_DEFECT": self.defect or ""},
        )  # fmt: skip
        self._producers = Producers(self.folder, self._proxies["producer"].dsn, self.plan.seed)
        world = World(
            server=server, proxies=self._proxies, workers=self._workers,
            random=Random(self.plan.seed), note=self.log.write, producers=self._producers,
            pooler=self._pooler,
        )  # fmt: skip
        await store.install(world)
        if self.defect is not None:
            await plant(self.defect, server.do, server.one)
        self.facts["postgresql"] = await server.one("show server_version")
        self._workers.start_all()
        while await store.workers(world) < self.size.workers and self._age < 30:
            await asyncio.sleep(0.1)
        return world

    async def _put_on_a_disk(self, server: Server) -> None:
        """That can be filled, where this machine lets us mount one that nobody else sees."""
        if self.size.name == "mini" or not self._own_mounts:
            self.facts["no disk"] = "a short run, or no mount namespace of its own"
            return
        try:
            self._disk = Disk(self.folder / "disk", size=ROOM)
        except NotHere as error:
            self.facts["no disk"] = str(error)
        else:
            await move_to(server, self._disk)

    async def _start_pooler(self, server: Server) -> Pooler | None:
        """In runs that have the time for what it is there for, and where it is installed."""
        if self.size.name == "mini":
            return None
        try:
            pooler = Pooler(server, "transaction" if self.plan.seed % 2 else "session")
        except NotHere as error:
            self.facts["no pooler"] = str(error)
            return None
        await pooler.start()
        self.facts["pooler"] = pooler.mode
        return pooler

    def _crews(self) -> list[Crew]:
        worker, direct = (self._proxies[name].dsn for name in ("worker", "direct"))
        crews = [Crew(road=worker), Crew(road=direct)]
        if self.size.name != "mini":
            crews += [Crew(road=worker, environment=PATIENT)]
        if self._pooler is not None:
            pooled, apart = self._pooler.dsn, {"HOWDAH_LISTEN_URL": direct(), **POOLED}
            crews += [Crew(road=lambda: pooled, environment=apart)]
        return crews

    # Load and faults

    async def _load(self, world: World) -> None:
        self.log.write("phase", name="load")
        began = time.monotonic()
        assert world.producers is not None
        size = self.size
        world.producers.start(size.jobs, size.flows, size.load, sql_workers=size.sql_workers)
        assert self._workers is not None
        keeping = asyncio.create_task(self._workers.keep(Random(self.plan.seed)))
        producing = asyncio.create_task(world.producers.done())
        beside = [asyncio.create_task(self._look(world)), asyncio.create_task(self._stand_by())]

        def is_over() -> bool:
            return time.monotonic() > began + self.size.load

        try:
            nemesis = Nemesis(
                world, self.plan, self.faults, self.log.write,
                storm=self.size.storm, calm=self.size.calm,
            )  # fmt: skip
            self._nemesis = nemesis
            await nemesis.run(is_over)
            self.facts["producers"] = await producing
        finally:
            for task in beside:
                task.cancel()
            self._keeping = keeping

    async def _look(self, world: World) -> None:
        """Count, now and then, whether what came is what went and what is there."""
        while True:
            await asyncio.sleep(self.size.load / (LOOKS + 1))
            with suppress(Exception):  # the server is away
                self.facts["looks"].append(await store.look(world))

    async def _stand_by(self) -> None:
        """Start the pooler again where it has died by itself: it is not what is on trial."""
        while self._pooler is not None:
            await asyncio.sleep(1.0)
            with suppress(RuntimeError):  # tried again
                if said := await self._pooler.restart_if_it_died():
                    self.log.write("pooler", died=said)

    # Peace

    async def _drain(self, world: World) -> bool:
        """Whether all that was open has ended; given up after a while."""
        self.facts["schedules"] = await flow_store.end_schedules(world)
        began = time.monotonic()
        while (is_open := await store.open_jobs(world)) and time.monotonic() < began + DRAIN:
            await asyncio.sleep(0.1)
        self.facts["drained in"] = time.monotonic() - began
        return not is_open

    async def _probe(self, world: World) -> None:
        """How long lone jobs take to start when nothing is wrong."""
        while await store.workers(world) < self.size.workers:
            await asyncio.sleep(0.1)
        enqueued = {}
        for number in range(PROBES):
            key = PROBE_KEYS + number
            self.log.write("invoke", k=key, n=1, j=["co"])
            enqueued[key] = time.monotonic_ns()
            await store.probe(world, key)
            self.log.write("ok", k=key, n=1)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        while await store.open_jobs(world):
            await asyncio.sleep(0.1)
        self.facts["probes"] = waits_of(enqueued, self.folder / "log")

    # The end

    async def _tear_down(self, world: World) -> None:
        assert self._workers is not None
        await store.dump(world, self.folder / "dump", store.LEFT)  # with workers at work
        self._workers.stop()
        stopped = await self._workers.stopped()
        self.facts["stopped"] = stopped
        if getattr(self, "_keeping", None) is not None:
            self._keeping.cancel()
        if self._producers is not None:
            self._producers.end()
        await store.dump(world, self.folder / "dump", store.DUMPS)
        self.facts["server_log"] = store.facts_of(world)
        self.facts["took"] = self._age
        (self.folder / "facts.json").write_text(json.dumps(self.facts, indent=1))
        for proxy in self._proxies.values():
            proxy.close()
        if self._pooler is not None:
            await self._pooler.remove()
        await world.server.remove()

    def kill(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self._producers is not None:
            self._producers.end()
        if self._workers is not None:
            self._workers.kill()
        for proxy in self._proxies.values():
            with suppress(Exception):
                proxy.close()
        for pid in descendants([os.getpid()]):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if self._disk is not None:
            self._disk.close()


def waits_of(enqueued: Mapping[int, int], logs: Path) -> list[float]:
    """Seconds from the moments (ns, by key) at which jobs were enqueued to their starts there."""
    waits = []
    for path in logs.glob("worker-*.jsonl"):
        for line in path.read_bytes()[-100_000:].splitlines():  # a first one cut in two is no start
            if line.startswith(b'{"e":"start"') and b'"k":9000000' in line:
                found = json.loads(line)
                if found["k"] in enqueued:
                    waits.append((found["t"] - enqueued[found["k"]]) / 1e9)
    return waits
