"""`howdah worker` as a process, with its children and all that they start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from watching import Ledger, eventually

DUTIES = Path(__file__).with_name("duties.py")
PATIENCE = 30.0  # seconds


class Parent:
    """A running `howdah worker duties:app`, found again by a mark in its environment."""

    def __init__(self, folder: Path, env: dict[str, str], args: tuple[str, ...]) -> None:
        self.mark = f"mark-{uuid4()}"
        self._stderr = folder / f"stderr-{self.mark}"
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "howdah", "worker", *args],
                cwd=folder,
                env={**env, "TEST_MARK": self.mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def errors(self) -> str:
        """What it and its children wrote to standard error."""
        return self._stderr.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def says(self, text: str, times: int = 1) -> str:
        await eventually(lambda: self.errors.count(text) >= times, PATIENCE)
        return self.errors

    async def ready(self, processes: int = 1) -> list[int]:
        """The children's process ids, once so many have registered."""
        await self.says("· worker ", processes)
        return [each["pid"] for each in (await self.status())["processes"]]

    async def status(self) -> dict[str, Any]:
        """What it answers to SIGUSR1."""
        before = len(_statuses(self.errors))
        self.send(signal.SIGUSR1)
        await eventually(lambda: len(_statuses(self.errors)) > before, PATIENCE)
        return _statuses(self.errors)[-1]

    async def ended(self, within: float = PATIENCE) -> int:
        await eventually(lambda: self.process.poll() is not None, within)
        return self.process.returncode

    def family(self) -> list[int]:
        """All living processes that it, its children or their jobs have started, and itself."""
        return [pid for pid in _pids() if self.mark.encode() in _read(pid, "environ")]

    def end(self) -> None:
        for pid in self.family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def _statuses(errors: str) -> list[dict[str, Any]]:
    whole = errors[: errors.rfind("\n") + 1].splitlines()
    return [json.loads(line) for line in whole if line.startswith('{"name"')]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to hear of its end does not."""
    return _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"])


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Whether a process is alive."""
    return is_alive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the app of duties lies."""
    shutil.copy(DUTIES, tmp_path / "duties.py")
    return tmp_path


@pytest.fixture
def env(ledger: Ledger) -> dict[str, str]:
    """The environment of a worker, without a database."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "HOWDAH"))}
    return {**clean, "LEDGER": str(ledger.path), "NO_COLOR": "1"}


@pytest.fixture
def start(dsn: str, folder: Path, env: dict[str, str]) -> Iterator[Callable[..., Parent]]:
    """Start a worker: `start("-p", "2", lost_after=2.0, env={…})`; nothing of it outlives a test.

    `app` and `database` are what is named; keywords are the app's settings.
    """
    started: list[Parent] = []
    clean = env

    def start(
        *args: str,
        app: str = "duties:app",
        database: str | None = "",
        env: dict[str, str] | None = None,
        **settings: Any,
    ) -> Parent:
        own = {**clean, "SETTINGS": json.dumps(settings), **(env or {})}
        if database is not None:
            own["DATABASE_URL"] = database or dsn
        started.append(Parent(folder, own, (app, *args)))
        return started[-1]

    yield start
    for parent in started:
        parent.end()
