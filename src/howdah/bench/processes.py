"""What processes of this machine have spent, from /proc; None where that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def parents() -> dict[int, int]:
    """Each process, with its parent."""
    found = {}
    for entry in PROC.glob("[0-9]*"):
        stat = _stat(int(entry.name))
        if stat is not None:
            found[int(entry.name)] = int(stat[1])
    return found


def family(root: int) -> list[int]:
    """A process, its children, their children, and so on."""
    by_parent: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        by_parent.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += by_parent.get(pid, [])
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU that processes have used, and those of their children that have ended."""
    return sum(_cpu_of(pid) for pid in pids)


def postmaster_of(backend: int) -> int | None:
    """The server of a backend, if that backend is a process of this machine."""
    try:
        title = (PROC / str(backend) / "cmdline").read_bytes()
    except OSError:
        return None
    stat = _stat(backend)
    return int(stat[1]) if stat is not None and title.startswith(b"postgres:") else None


def _cpu_of(pid: int) -> float:
    stat = _stat(pid)
    if stat is None:
        return 0.0
    own, of_children = sum(map(int, stat[11:13])), sum(map(int, stat[13:15]))
    return max(own * TICK, _exact(pid)) + of_children * TICK


def _exact(pid: int) -> float:
    """What the threads that live have used: to the nanosecond, where stat counts in 10 ms."""
    try:
        threads = [
            file.read_text().split()[0] for file in (PROC / str(pid)).glob("task/*/schedstat")
        ]
    except (OSError, IndexError):
        return 0.0
    return sum(map(int, threads)) / 1e9


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name: state, parent …"""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
