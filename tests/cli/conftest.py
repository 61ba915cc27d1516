"""The command, run as a process of its own, on a terminal, or (for speed) in this process."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from howdah.cli import command
from howdah.cli.exits import exit_code

WORK = """
import asyncio

def add(a: int, b: int) -> int:
    return a + b

def fail(message: str = "no"):
    raise ValueError(message)

async def wait(seconds: float):
    await asyncio.sleep(seconds)

def _private():
    pass
"""
APP = """
from howdah import App, Retry

app = App()

@app.task(queue="sums", retry=Retry(max_attempts=2))
def add(a: int, b: int) -> int:
    return a + b
"""
PATIENCE = 30.0  # seconds


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a module of plain functions and one with an app."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "work.py").write_text(WORK)
    (folder / "sums.py").write_text(APP)
    return folder


@pytest.fixture
def run(
    dsn: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """The command in this process, on this test's database."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.chdir(project)

    def run(*args: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = exit_code(command, [*args])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


class Process:
    """A running command, whose stderr can be waited for."""

    def __init__(self, args: tuple[str, ...], folder: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "howdah", *args],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.err = ""

    def until(self, text: str) -> str:
        """Read stderr until it says this."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + PATIENCE
        while text not in self.err:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self.process.stderr], [], [], max(0.0, left))
            data = os.read(self.process.stderr.fileno(), 65536) if readable else b""
            assert data, f"it never said {text!r}: {self.err}"
            self.err += data.decode()
        return self.err

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> Ran:
        out, err = self.process.communicate(timeout=PATIENCE)
        self.err += err.decode()
        return Ran(self.process.returncode, out.decode(), self.err)


class Commands:
    """Starts commands in a folder, with an environment."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("PG", "NO_COLOR", "FORCE_"))
        }
        self.env = {**clean, "TERM": "xterm-256color", "COLUMNS": "160", **env}
        self.started: list[Process] = []

    def start(self, *args: str, **env: str) -> Process:
        process = Process(args, self.folder, {**self.env, **env})
        self.started.append(process)
        return process

    def __call__(self, *args: str, **env: str) -> Ran:
        return self.start(*args, **env).ended()

    def on_terminal(self, *args: str, answer: str = "", **env: str) -> Ran:
        """On a pseudo terminal; everything it writes is in `out`."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "howdah", *args],
            cwd=self.folder,
            env={**self.env, **env},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            close_fds=True,
        )
        os.close(theirs)
        os.write(ours, answer.encode())
        said = b""
        try:
            while select.select([ours], [], [], PATIENCE)[0]:
                said += os.read(ours, 65536)
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(ours)
        return Ran(process.wait(PATIENCE), said.decode().replace("\r\n", "\n"), "")

    def stop_all(self) -> None:
        for started in self.started:
            if started.process.poll() is None:
                started.process.kill()
            started.process.communicate()


@pytest.fixture
def howdah(dsn: str, project: Path) -> Iterator[Commands]:
    """The command as a process of its own, on this test's database."""
    commands = Commands(project, DATABASE_URL=dsn)
    yield commands
    commands.stop_all()


@pytest.fixture
def alone(project: Path) -> Iterator[Commands]:
    """The command as a process of its own, with no database configured; what it starts is ended."""
    commands = Commands(project)
    yield commands
    commands.stop_all()
    subprocess.run(
        [sys.executable, "-m", "howdah", "db", "stop"], cwd=project, env=commands.env, check=False,
        capture_output=True,
    )  # fmt: skip


class SilentServer:
    """Takes connections and says nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        self.url = f"postgresql://u:s3cret@127.0.0.1:{self._socket.getsockname()[1]}/x"

    def accept(self) -> None:
        self._socket.settimeout(PATIENCE)
        self._taken.append(self._socket.accept()[0])

    def close(self) -> None:
        for taken in (*self._taken, self._socket):
            taken.close()


@pytest.fixture
def silent_server() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()
