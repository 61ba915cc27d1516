"""What an import has moved, or would move; what it left, and what stands in its way."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Moved:
    """Jobs of one task: how it is called there and here, and how many of them there are.

    `found` of them were here already: under their unique key, or by an import that was cut off.
    """

    there: str
    here: str
    jobs: int = 0
    found: int = 0


@dataclass(slots=True)
class Flaw:
    """Why jobs of a task cannot come, with how many they are and one of them, by its id there."""

    task: str
    why: str
    example: int
    jobs: int = 0


@dataclass(slots=True)
class Report:
    """What was moved, by task; what was left, by why; and what is wrong with jobs that wait."""

    system: str
    dry_run: bool
    moved: dict[str, Moved] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    flaws: dict[tuple[str, str], Flaw] = field(default_factory=dict)

    @property
    def jobs(self) -> int:
        """How many jobs were taken there, or would be."""
        return sum(moved.jobs for moved in self.moved.values())

    @property
    def found(self) -> int:
        """How many of those were here already."""
        return sum(moved.found for moved in self.moved.values())

    def add(self, there: str, here: str, *, jobs: int = 1, found: int = 0) -> None:
        """Count jobs of a task."""
        moved = self.moved.setdefault(there, Moved(there, here))
        moved.jobs += jobs
        moved.found += found

    def merge(self, other: Report) -> None:
        """Count what another has moved."""
        for moved in other.moved.values():
            self.add(moved.there, moved.here, jobs=moved.jobs, found=moved.found)

    def flawed(self, task: str, why: str, job_id: int) -> None:
        """Count a job that cannot come; the kinds of flaws that are kept are bounded."""
        if (task, why) not in self.flaws and len(self.flaws) >= _MOST:
            why = "other flaws"
        self.flaws.setdefault((task, why), Flaw(task, why, job_id)).jobs += 1


_MOST = 100
