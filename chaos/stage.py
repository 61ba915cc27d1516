"""A run from its first process to its dump: server, workers, producers, faults, and peace."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from chaos import store
from chaos.defects import plant
from chaos.log import Log
from chaos.nemesis import Nemesis
from chaos.plan import Plan, Size
from chaos.proxy import Proxy
from chaos.server import Server
from chaos.workers import Workers, descendants
from chaos.world import Fault, World

ROOT = Path(__file__).parent.parent
LOST_AFTER = 4.0  # seconds: short, so that there is much to rescue
SHARES = {"bulk": 0.82, "client": 0.12, "sql": 0.06}  # of the jobs
DRAIN = 60.0  # seconds that all that is open may take once all is healed
SQL_WORKERS = 3
PROBES = 20
PROBE_KEYS = 9_000_000_000
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
    ) -> None:
        self.folder, self.size, self.plan, self.faults = folder, size, plan, faults
        self.defect = defect
        for part in ("log", "marks"):
            (folder / part).mkdir()
        self.log = Log(folder / "log" / "nemesis.jsonl")
        self.facts: dict[str, Any] = {
            "size": asdict(size), "seed": plan.seed, "planned": len(plan.steps),
            "clock": store.clock(), "defect": defect, "looks": [],
            "python": platform.python_version(), "machine": platform.platform(),
        }  # fmt: skip
        self._processes: list[subprocess.Popen[bytes]] = []
        self._workers: Workers | None = None
        self._proxies: dict[str, Proxy] = {}
        self._server: Server | None = None
        self._began = time.monotonic()

    async def run(self) -> None:
        """All of it; what is not over within the limit is cut, and the run says so."""
        world = await self._set_up()
        try:
            async with asyncio.timeout(
                max(1.0, self.size.limit - self.size.limit / 12 - self._age)
            ):
                await self._load(world)
                self.log.write("phase", name="healed")
                await self._drain(world)
                await self._probe(world)
        except TimeoutError:
            self.facts["cut"] = f"not over within {self.size.limit:g} s"
        await self._tear_down(world)

    @property
    def _age(self) -> float:
        return time.monotonic() - self._began

    # Setting up

    async def _set_up(self) -> World:
        server = self._server = Server(self.folder / "server")
        await server.start()
        self._proxies = {name: Proxy(server.socket) for name in ("worker", "producer", "direct")}
        roads: list[Callable[[], str]] = [self._proxies[name].dsn for name in ("worker", "direct")]
        self._workers = Workers(
            self.folder, roads, n=self.size.workers, slots=self.size.slots, lost_after=LOST_AFTER, note=self.log.write,
            environment={"CHAOS_DEFECT": self.defect or ""},
        )  # fmt: skip
        world = World(
            server=server, proxies=self._proxies, workers=self._workers,
            random=Random(self.plan.seed), note=self.log.write,
        )  # fmt: skip
        await store.install(world)
        if self.defect is not None:
            await plant(self.defect, server.do, server.one)
        self.facts["postgresql"] = await server.one("show server_version")
        self._workers.start_all()
        while await store.workers(world) < self.size.workers and self._age < 30:
            await asyncio.sleep(0.1)
        return world

    def _start(self, road: str, *command: object) -> subprocess.Popen[bytes]:
        name = str(command[0]).removeprefix("chaos.")
        with (self.folder / f"{name}-{command[1]}.err").open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, command)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                env={
                    **os.environ, "CHAOS_FOLDER": str(self.folder),
                    "HOWDAH_DATABASE_URL": self._proxies[road].dsn(),
                },
            )  # fmt: skip
        self._processes.append(process)
        return process

    # Load and faults

    async def _load(self, world: World) -> None:
        self.log.write("phase", name="load")
        began = time.monotonic()
        producers = [
            self._start(
                "producer", "chaos.producer", kind, number, self.plan.seed,
                round(self.size.jobs * share), self.size.load,
            )
            for number, (kind, share) in enumerate(SHARES.items(), 1)
        ]  # fmt: skip
        for number in range(1, SQL_WORKERS + 1):
            self._start("producer", "chaos.sqlworker", number, self.plan.seed)
        assert self._workers is not None
        keeping = asyncio.create_task(self._workers.keep(Random(self.plan.seed)))
        looking = asyncio.create_task(self._look(world))

        def is_over() -> bool:
            return time.monotonic() > began + self.size.load

        try:
            nemesis = Nemesis(world, self.plan, self.faults, self.log.write)
            self._nemesis = nemesis
            await nemesis.run(is_over)
            while any(producer.poll() is None for producer in producers):
                await asyncio.sleep(0.05)
            self.facts["producers"] = [producer.returncode for producer in producers]
        finally:
            looking.cancel()
            self._keeping = keeping

    async def _look(self, world: World) -> None:
        """Count, now and then, whether what came is what went and what is there."""
        while True:
            await asyncio.sleep(self.size.load / (LOOKS + 1))
            with suppress(Exception):  # the server is away
                self.facts["looks"].append(await store.look(world))

    # Peace

    async def _drain(self, world: World) -> None:
        began = time.monotonic()
        while await store.open_jobs(world) and time.monotonic() < began + DRAIN:
            await asyncio.sleep(0.1)
        self.facts["drained in"] = time.monotonic() - began

    async def _probe(self, world: World) -> None:
        """How long lone jobs take to start when nothing is wrong."""
        while await store.workers(world) < self.size.workers:
            await asyncio.sleep(0.1)
        enqueued = {}
        for number in range(PROBES):
            key = PROBE_KEYS + number
            self.log.write("invoke", k=key, n=1)
            enqueued[key] = time.monotonic_ns()
            await store.probe(world, key)
            self.log.write("ok", k=key, n=1)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        while await store.open_jobs(world):
            await asyncio.sleep(0.1)
        self.facts["probes"] = self._waits(enqueued)

    def _waits(self, enqueued: dict[int, int]) -> list[float]:
        waits = []
        for path in (self.folder / "log").glob("worker-*.jsonl"):
            for line in path.read_bytes()[-100_000:].splitlines()[1:]:
                if line.startswith(b'{"e":"start"') and b'"k":9000000' in line:
                    found = json.loads(line)
                    waits.append((found["t"] - enqueued[found["k"]]) / 1e9)
        return waits

    # The end

    async def _tear_down(self, world: World) -> None:
        assert self._workers is not None
        await store.dump(world, self.folder / "dump", store.LEFT)  # with workers at work
        self._workers.stop()
        stopped = await self._workers.stopped()
        self.facts["stopped"] = stopped
        if getattr(self, "_keeping", None) is not None:
            self._keeping.cancel()
        self._end_processes()
        await store.dump(world, self.folder / "dump", store.DUMPS)
        self.facts["server_log"] = store.facts_of(world)
        self.facts["took"] = self._age
        (self.folder / "facts.json").write_text(json.dumps(self.facts, indent=1))
        for proxy in self._proxies.values():
            proxy.close()
        await world.server.remove()

    def _end_processes(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def kill(self) -> None:
        """Leave nothing behind, whatever has happened."""
        self._end_processes()
        if self._workers is not None:
            self._workers.kill()
        for proxy in self._proxies.values():
            with suppress(Exception):
                proxy.close()
        for pid in descendants([os.getpid()]):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
