"""The workers of a run: `howdah worker` parents with their children, which are kept alive."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

ROOT = Path(__file__).parent.parent
AT_START = (  # why one that never worked may leave
    r"was killed by SIGKILL before it could work",
    # Nobody answers: what may be a typing mistake is told at once. All else is to be waited for.
    r"error: the server accepts no writes here",  # nor will one that was meant to be read only
    r"error: cannot connect to \S+: (TimeoutError|.*Connect call failed|.*refused|.*Multiple exc)",
)
SHUTDOWN_AFTER = 10.0  # seconds that running jobs get to end
# Seconds that a parent may take to end in peace, even with the database away: its children have
# 10 s more, its last words 3, its connection 2, and a busy machine the rest.
STOPPING = SHUTDOWN_AFTER + 10.0 + 3.0 + 2.0 + 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Workers of one kind: over which road they reach the database, and what they are told."""

    road: Callable[[], str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Parent:
    """One `howdah worker`."""

    name: str
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    crew: Crew
    is_extra: bool = False  # a fault's own, which sees to its end
    is_expected_to_end: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_up(self) -> bool:
        return self.process.poll() is None


class Workers:
    """Starts parents, knows their process ids and those of their children, replaces the dead."""

    def __init__(
        self,
        folder: Path,
        crews: Sequence[Crew],
        *,
        n: int,
        slots: int,
        lost_after: float,
        note: Callable[..., None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Each worker is of the crew that has the fewest."""
        self.folder, self.crews, self.n, self.lost_after = folder, crews, n, lost_after
        self._slots = slots
        self._note, self._environment = note, dict(environment or {})
        self._parents: list[Parent] = []
        self._number = 0
        self._ended: set[int] = set()  # parents that somebody took out of our hands

    # What faults ask

    def parents(self) -> list[int]:
        """The process ids of the parents that should be alive."""
        return [parent.pid for parent in self._parents if parent.is_up]

    def children(self) -> list[int]:
        """The process ids of their children: not what these have started themselves."""
        parents = set(self.parents())
        return [pid for pid, parent in _processes() if parent in parents and _is_child(pid)]

    async def start(self, n: int = 1, environment: Mapping[str, str] | None = None) -> list[int]:
        """Start more workers, with some environment besides the usual; their parents' ids."""
        return [self._start(environment or {}, is_extra=True).pid for _ in range(n)]

    async def gone(self, parent: int, within: float) -> int | None:
        """Wait for a parent to end and forget it; its exit status, None if it is still there.

        Of one that is forgotten already, since another fault has killed it: that.
        """
        found = next((p for p in self._parents if p.pid == parent), None)
        if found is None:
            return -signal.SIGKILL
        found.is_expected_to_end = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while found.is_up:
                    await asyncio.sleep(0.02)
        if found.is_up:
            return None
        self._forget(found)
        return found.process.returncode

    # What the run asks

    def start_all(self) -> None:
        """As many as there are to be."""
        while sum(not p.is_extra for p in self._parents) < self.n:
            self._start({}, is_extra=False)

    async def keep(self, chance: Random) -> None:
        """Replace those that have ended, for ever; each after a moment."""
        while True:
            for parent in [p for p in self._parents if not p.is_up]:
                if not parent.is_expected_to_end:
                    self._forget(parent)
            missing = self.n - sum(not p.is_extra for p in self._parents)
            if missing > 0:
                await asyncio.sleep(chance.uniform(0.05, 0.5))
                self.start_all()
            await asyncio.sleep(0.1)

    def stop(self) -> None:
        """Ask all to end in peace."""
        for parent in self._parents:
            if parent.is_up:
                parent.is_expected_to_end = True
                for pid in (parent.pid, *descendants([parent.pid])):
                    _send(pid, signal.SIGCONT)
                _send(parent.pid, signal.SIGTERM)

    async def stopped(self, within: float = STOPPING) -> bool:
        """Wait for them; False when one had to be killed, or did not end well."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while any(parent.is_up for parent in self._parents):
                    await asyncio.sleep(0.05)
        left = [parent for parent in self._parents if parent.is_up]
        self.kill()
        codes = [parent.process.returncode for parent in self._parents]
        for parent in [*self._parents]:
            self._forget(parent)
        return not left and not any(codes)

    def kill(self) -> None:
        """Leave nothing behind."""
        up = [parent.pid for parent in self._parents if parent.is_up]
        for pid in (*up, *descendants(up)):
            _send(pid, signal.SIGKILL)
        for parent in self._parents:
            parent.process.wait()

    def _start(self, environment: Mapping[str, str], *, is_extra: bool) -> Parent:
        self._number += 1
        name = f"w{self._number}"
        crew = self._next_crew()
        env = {
            **os.environ,
            "HOWDAH_DATABASE_URL": crew.road(),
            "HOWDAH_ENV": "production",  # which writes no line for each job
            "HOWDAH_LOST_AFTER": str(self.lost_after),
            "HOWDAH_PROCESS_SLOTS": "1",
            "HOWDAH_SHUTDOWN_AFTER": str(SHUTDOWN_AFTER),
            "CHAOS_FOLDER": str(self.folder),
            **self._environment,
            **crew.environment,
            **environment,
        }
        with (self.folder / f"{name}.err").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "howdah", "worker", "chaos.program:app", "--name", name,
                 "--processes", "1", "--slots", str(self._slots)],
                cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
            )  # fmt: skip
        parent = Parent(name, process, env, crew, is_extra=is_extra)
        self._parents.append(parent)
        self._note("parent", what="started", name=name, pid=process.pid)
        return parent

    def _next_crew(self) -> Crew:
        here = [parent.crew for parent in self._parents if not parent.is_extra]
        return min(self.crews, key=lambda crew: sum(crew is other for other in here))

    def _forget(self, parent: Parent) -> None:
        self._parents.remove(parent)
        code = parent.process.returncode
        said = (self.folder / f"{parent.name}.err").read_text(errors="replace")[-500:]
        self._note(
            "parent", what="ended", name=parent.name, pid=parent.pid, code=code,
            expected=parent.is_expected_to_end,
            young=any(re.search(words, said) for words in AT_START),
        )  # fmt: skip


def descendants(pids: Collection[int]) -> list[int]:
    """All that these have started, and what that has started."""
    known = _processes()
    found, among = [], {*pids}
    while grown := [pid for pid, parent in known if parent in among and pid not in among]:
        found += grown
        among |= {*grown}
    return found


def _processes() -> list[tuple[int, int]]:
    """All processes, each with its parent."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if stat[0] not in "ZX":
                    found.append((int(entry.name), int(stat[1])))
    return found


def _is_child(pid: int) -> bool:
    with suppress(OSError):
        return b"howdah.parent.program" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
