"""What a data directory tells about the server that runs on it, or does not."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from howdah.embedded.errors import StopFailed, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK = "howdah.lock"
OWNER_SETTING = "howdah.owner"
POLL_SECONDS = 0.01
GONE_WITHIN = 2.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """The running server process of a data directory; `owner` is the pid that it dies with."""

    pid: int
    socket_dir: Path
    owner: int | None


def find_postmaster(data_dir: Path) -> Postmaster | None:
    """The process that postmaster.pid names, if it is alive and is this directory's server.

    A pid alone proves nothing: after a crash it may be anybody's, in a container even soon.
    """
    try:
        lines = (data_dir / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
        pid, socket_dir = int(lines[0]), Path(lines[4])
    except (OSError, ValueError, IndexError):
        return None
    arguments = _command_line(pid)
    if not _is_server(arguments) or os.fspath(data_dir) not in arguments:
        return None
    return Postmaster(pid=pid, socket_dir=socket_dir, owner=_owner(arguments))


def _command_line(pid: int) -> list[str]:
    if sys.platform == "linux":
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
        except OSError:
            return []
    listed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
    )
    program, _, rest = os.fsdecode(listed.stdout).strip().partition(" -D ")
    data_dir, *settings = rest.split(" -c ")
    return [program, "-D", data_dir, *settings]


def _is_server(arguments: list[str]) -> bool:
    return bool(arguments) and Path(arguments[0]).name.startswith(("postgres", "postmaster"))


def _owner(arguments: list[str]) -> int | None:
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == OWNER_SETTING and value.isdigit():
            return int(value) or None
    return None


def hold(data_dir: Path) -> int | None:
    """Lock the directory for the lifetime of a server; None if a server lives in it.

    Returns the descriptor: launcher, server and backends inherit it, and so the lock lasts until
    the last of them is gone. PostgreSQL itself looks for the pid of its predecessor, and so would
    not see one in another container. The kernel's lock does.
    """
    descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if _locks(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def in_use(data_dir: Path) -> bool:
    """Whether a server, or what is left of one, lives in the directory."""
    try:
        descriptor = os.open(data_dir / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _locks(descriptor)
    finally:
        os.close(descriptor)


def wait_until_free(data_dir: Path) -> bool:
    """Wait until nothing of a server lives there; whether that came true.

    A process that ends has no command line any more while the kernel still takes it apart, and
    what a server has started ends a moment after it.
    """
    return wait_until(lambda: not in_use(data_dir), GONE_WITHIN)


def clear_stale_pid(data_dir: Path) -> None:
    """Remove the postmaster.pid of a dead server; for the holder of the directory only.

    PostgreSQL would refuse to start if an unrelated process has that pid by now.
    """
    path = data_dir / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError):
        arguments = _command_line(int(path.read_text(errors="replace").splitlines()[0]))
        ours = any(argument.startswith(f"{OWNER_SETTING}=") for argument in arguments)
        # One of ours would hold the lock; one that somebody started by hand does not.
        if ours or not _is_server(arguments):
            path.unlink()


def halt(data_dir: Path, pid: int, *, timeout: float) -> None:
    """Stop the server and wait for its end: fast, and if that takes too long, at once."""
    for number, seconds in ((signal.SIGINT, timeout), (signal.SIGQUIT, 6.0)):
        if not _is_running(data_dir, pid):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if wait_until(lambda: not _is_running(data_dir, pid), seconds):
            return
    raise StopFailed(pid, timeout + 6)


def _is_running(data_dir: Path, pid: int) -> bool:
    arguments = _command_line(pid)
    return _is_server(arguments) and os.fspath(data_dir) in arguments


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for the condition, at most so long; whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


@contextmanager
def guard(data_dir: Path, *, timeout: float = 60) -> Iterator[None]:
    """Be the only one, in all processes, who starts or stops the server of that directory."""
    path = data_dir.with_name(f"{data_dir.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unusable(path, error.strerror or str(error)) from error
    try:
        if not wait_until(lambda: _locks(descriptor), timeout):
            raise Unusable(path, f"another process has held this lock for {timeout:g} s")
        yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
