"""What the tests of the embedded PostgreSQL share: projects, other processes, and patience."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from data_folders import lay_out

from howdah.embedded import NoBinaries, find_binaries, running
from howdah.embedded.postmaster import in_use, wait_until
from howdah.embedded.sockets import socket_dir_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session", autouse=True)
def _binaries() -> None:
    try:
        find_binaries()
    except NoBinaries as missing:
        pytest.skip(str(missing))


@pytest.fixture
def project(new_project: Path) -> Path:
    """A project's root, with the data of an earlier server, which is a copy and no new initdb."""
    lay_out(new_project / ".howdah" / f"pg{find_binaries().major}")
    return new_project


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Path]:
    """A project's empty root; whatever still runs in it is stopped at the end of the test."""
    root = tmp_path / "project"
    root.mkdir()
    yield root
    if server := running(root):
        server.stop()
    for data_dir in (root / ".howdah").glob("pg[0-9][0-9]"):
        assert wait_until(lambda path=data_dir: not in_use(path), 10)
        socket_dir_of(data_dir).rmdir()
    shutil.rmtree(root)  # 40 MB each, and pytest would keep them


class Command:
    """Another process of the project: it runs Python statements until it is told to go on."""

    PRELUDE = """
import json, os, sys
from pathlib import Path
from howdah.embedded import *
root = Path(sys.argv[1])
settings = json.loads(sys.argv[2])
def say(what): os.write(1, f"{what}\\n".encode())
def wait(): sys.stdin.readline()
"""

    def __init__(self, root: Path, statements: str, **options: Any) -> None:
        options.setdefault("env", dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)})
        python = options.pop("python", sys.executable)
        settings = '{"fsync": "off"}'
        self.process = subprocess.Popen(
            [python, "-c", self.PRELUDE + statements, root, settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )

    def says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> int:
        with self.process as process:
            return process.wait(timeout=30)


@pytest.fixture
def command(new_project: Path) -> Iterator[Callable[..., Command]]:
    """Start another process in the project; what is left of them is killed after the test."""
    commands: list[Command] = []

    def start(statements: str, **options: Any) -> Command:
        commands.append(Command(options.pop("root", new_project), statements, **options))
        return commands[-1]

    yield start
    for left in commands:
        left.kill()


@pytest.fixture
def answers() -> Callable[[str], bool]:
    """Whether a driver gets through to the database at that address."""

    def ask(dsn: str) -> bool:
        with psycopg.connect(dsn) as db:
            return db.execute("select 1").fetchone() == (1,)

    return ask


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait for a condition, at most so many seconds, and fail if it does not come true."""

    def wait(condition: Callable[[], object], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.005)

    return wait


@pytest.fixture
def postgres_of() -> Callable[[Path], list[int]]:
    """The pids of all processes that work in some data directory of that project."""
    if sys.platform != "linux":
        pytest.skip("counts processes by their folder in /proc")

    def find(root: Path) -> list[int]:
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _inside(entry, root)]

    return find


def _inside(entry: Path, root: Path) -> bool:
    try:
        folder = (entry / "cwd").readlink()
    except OSError:
        return False
    return folder.is_relative_to(root / ".howdah")


@pytest.fixture
def launcher_of() -> Callable[[int], int]:
    """The parent of a server that somebody owns."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    return lambda pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def kill() -> Callable[[int], None]:
    """Kill one process, so that it can do nothing about it."""
    return lambda pid: os.kill(pid, signal.SIGKILL)
