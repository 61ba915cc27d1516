"""What the tests of the worker share: processes that work, a ledger of starts, and patience."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from watching import Ledger, Store, eventually

PROGRAM = Path(__file__).with_name("program.py")


class Process:
    """A worker of its own: tests/worker/program.py with an App and `run_worker`."""

    def __init__(
        self, dsn: str, ledger: Ledger, settings: dict[str, Any], options: dict[str, Any]
    ) -> None:
        given = {"dsn": dsn, "ledger": str(ledger.path), "settings": settings, "options": options}
        self._errors = ledger.path.with_name(f"errors-{time.monotonic_ns()}")
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), json.dumps(given)], stderr=errors
            )
        self.pid = self._process.pid

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    async def ended(self, within: float = 10.0) -> int:
        """Its exit code, once it has left."""
        await eventually(lambda: self._process.poll() is not None, within)
        return self._process.returncode

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text()


@pytest.fixture
def work(request: pytest.FixtureRequest, ledger: Ledger) -> Iterator[Callable[..., Process]]:
    """Start a worker process: `work(lost_after=2.0, slots=20)`; none outlives the test."""
    started: list[Process] = []

    def start(dsn: str | None = None, *, burst: bool = False, **given: Any) -> Process:
        options = {name: given.pop(name) for name in ("queues", "slots", "name") if name in given}
        where = dsn or request.getfixturevalue("dsn")
        process = Process(where, ledger, given, {**options, "burst": burst})
        started.append(process)
        return process

    yield start
    for process in started:
        if process.running:
            process.send(signal.SIGCONT)
            process.kill()


@pytest.fixture
def store_of() -> Iterator[Callable[[str], Store]]:
    """The store of some other database."""
    opened: list[psycopg.Connection] = []

    def connect(dsn: str) -> Store:
        opened.append(psycopg.connect(dsn, autocommit=True))
        return Store(opened[-1])

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def seen() -> Callable[..., list[Any]]:
    """All events of one kind that an app emits from now on."""

    def collect(app: Any, kind: type) -> list[Any]:
        found: list[Any] = []
        app.events.subscribe(lambda event: found.append(event) if isinstance(event, kind) else None)
        return found

    return collect
