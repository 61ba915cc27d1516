"""The processes that enqueue, and work in SQL: started, killed by faults, and replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from chaos.log import lines
from chaos.world import Injected, World

ROOT = Path(__file__).parent.parent
SHARES = {"bulk": 0.82, "client": 0.12, "sql": 0.06}  # of the jobs
MODULES = {"flow": "chaos.flow_producer"}  # of those that are no kind of chaos.producer


@dataclass(slots=True)
class Producer:
    """One process, and what it was to do."""

    kind: str
    number: int  # its keys and its log follow from it
    jobs: int
    until: float
    process: subprocess.Popen[bytes]


class Producers:
    """Starts them, and goes on with what a killed one had not done."""

    def __init__(self, folder: Path, road: Callable[[], str], seed: int) -> None:
        self._folder, self._road, self._seed = folder, road, seed
        self._producers: list[Producer] = []
        self._beside: list[subprocess.Popen[bytes]] = []
        self._numbers = 0

    def start(self, jobs: int, flows: int, seconds: float, *, sql_workers: int) -> None:
        """All of them; they are to be done in so many seconds."""
        for kind, share in SHARES.items():
            self._start(kind, round(jobs * share), time.monotonic() + seconds)
        self._start("flow", flows, time.monotonic() + seconds)
        for number in range(1, sql_workers + 1):
            self._beside.append(self._run("chaos.sqlworker", number, self._seed))

    def pids(self) -> list[int]:
        """Those that enqueue."""
        return [p.process.pid for p in self._producers if p.process.poll() is None]

    async def done(self) -> list[int]:
        """Wait for all; gives the exit statuses."""
        while True:
            at_work = [self._left(each) for each in [*self._producers]]  # look at each of them
            if not any(at_work):
                break
            await asyncio.sleep(0.05)
        return [each.process.returncode for each in self._producers]

    def end(self) -> None:
        """Leave nothing behind."""
        for process in [*self._beside, *(each.process for each in self._producers)]:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def _left(self, producer: Producer) -> bool:
        """Whether it is at work, or another in its place."""
        code = producer.process.poll()
        if code == -signal.SIGKILL:
            self._producers.remove(producer)
            rest = producer.jobs - self._acknowledged(producer)
            if rest <= 0 or time.monotonic() >= producer.until:
                return False
            self._start(producer.kind, rest, producer.until)
            return True
        return code is None

    def _acknowledged(self, producer: Producer) -> int:
        path = self._folder / "log" / f"producer-{producer.number}.jsonl"
        if not path.exists():
            return 0
        return sum(line["n"] for line in lines(path) if line["e"] in {"ok", "flow_ok"})

    def _start(self, kind: str, jobs: int, until: float) -> None:
        self._numbers += 1
        seconds = max(1.0, until - time.monotonic())
        module = MODULES.get(kind, "chaos.producer")
        process = self._run(module, kind, self._numbers, self._seed, jobs, seconds)
        self._producers.append(Producer(kind, self._numbers, jobs, until, process))

    def _run(self, *command: object) -> subprocess.Popen[bytes]:
        name = "-".join(str(part) for part in command[:3]).removeprefix("chaos.")
        with (self._folder / f"{name}.err").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", *map(str, command)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                env={
                    **os.environ, "CHAOS_FOLDER": str(self._folder),
                    "HOWDAH_DATABASE_URL": self._road(),
                },
            )  # fmt: skip


class KillProducer:
    """A producer is killed at whatever it is doing: nobody knows what came of that."""

    name, longest, alone = "kill-producer", 1.0, False

    async def inject(self, world: World, dose: float) -> Injected:
        began, killed = time.monotonic(), 0
        pids = world.producers.pids() if world.producers else []
        if pids:
            await asyncio.sleep(Random(dose).random() * 0.2)
            with suppress(ProcessLookupError):
                os.kill(world.random.choice(pids), signal.SIGKILL)
                killed = 1
        return Injected(
            name=self.name, began=began, healed=time.monotonic(), observed={"killed": killed}
        )
