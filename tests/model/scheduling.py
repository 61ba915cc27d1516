"""Schedules: each tick at most once, whoever fires it, however often, and from what it knew."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.model import handling
from tests.model.enqueuing import New
from tests.model.flow_world import FlowWorld
from tests.model.flowing import Flowing, put_waiting
from tests.model.machine import often, pick, picks
from tests.model.world import seconds

NAMES, EVERY = ["tick", "tock"], 10
names = st.sampled_from(NAMES)
overlaps = st.sampled_from(["allow", "skip", "replace"])


@dataclass
class Schedule:
    """What was put, and how far its ticks are dealt with."""

    starts_at: datetime
    handled: datetime
    overlap: str
    version: int = 0  # of the schedule, which each change draws anew
    next_at: datetime | None = None
    taken_until: datetime | None = None
    paused: bool = False
    last_job: UUID | None = None
    ticks: dict[datetime, UUID | None] = field(default_factory=dict)

    def due(self, upto: datetime) -> list[datetime]:
        """Its ticks after those that are dealt with, up to a moment."""
        ticks, n = [], 1
        while (tick := self.starts_at + seconds(n * EVERY)) <= upto:
            ticks += [tick] if tick > self.handled else []
            n += 1
        return ticks

    def next_after(self, moment: datetime) -> datetime:
        return self.starts_at + seconds(EVERY * ((moment - self.starts_at) // seconds(EVERY) + 1))


@dataclass(frozen=True)
class Look:
    """What a scheduler saw, and goes by, perhaps much later."""

    name: str
    row: Any
    version: tuple[int, int]  # which schedule of this name, and which version of it
    ticks: list[datetime]
    next_at: datetime


def fire(
    world: FlowWorld, schedule: Schedule, ticks: list[datetime], fresh: list[UUID]
) -> list[UUID]:
    """The jobs of the ticks, of which the store made as many as it said."""
    told, made = list(fresh), []
    for tick in ticks:
        if tick in schedule.ticks:
            continue
        schedule.ticks[tick] = None
        last = world.jobs.get(schedule.last_job) if schedule.last_job else None
        if schedule.overlap != "allow" and last is not None and last.is_live:
            if schedule.overlap == "skip":
                continue
            handling.cancel(world, last.id)
        job_id = told.pop(0)
        put_waiting(world, New("work", "a"), job_id, {})
        schedule.ticks[tick] = schedule.last_job = job_id
        made.append(job_id)
    return made


class Scheduling(Flowing):
    """Rules of schedules that fire every ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, Schedule] = {}
        self.looks_at_ticks: list[Look] = []
        self.put_before = 0  # schedules that were ever made

    @rule(name=names, overlap=overlaps, twice=often)
    def put_schedule(self, name: str, overlap: str, twice: bool) -> None:
        def predicted() -> bool:
            known, now = self.schedules.get(name), self.world.now
            if known is None:
                self.put_before += 1000
                self.schedules[name] = Schedule(now, now, overlap, self.put_before)
                return True
            if known.overlap == overlap:
                return False
            known.overlap, known.taken_until, known.version = overlap, None, known.version + 1
            return True

        self.both(
            predicted,
            lambda: self.door.value("put_schedule", name=name, task="work", queue="a",
                                    every=f"{EVERY} s", overlap=overlap),
            twice=twice,
        )  # fmt: skip

    @precondition(lambda self: self.schedules)
    @rule(name=names, what=st.sampled_from(["pause", "resume", "delete"]))
    def change_schedule(self, name: str, what: str) -> None:
        def predicted() -> Any:
            known = self.schedules.get(name)
            if what == "delete":
                return self.schedules.pop(name, None) is not None
            if known is None:
                return "refused with JQ004"
            if known.paused == (what == "pause"):
                return False
            known.paused, known.version = not known.paused, known.version + 1
            known.handled = max(known.handled, self.world.now)
            known.next_at = known.taken_until = None
            return True

        self.both(predicted, lambda: self.door.value(f"{what}_schedule", name=name))

    @precondition(lambda self: self.schedules)
    @rule(ticks_away=st.sampled_from([0, 1, 1, 3]))
    def look_for_ticks(self, ticks_away: int) -> None:
        """Who looks is told of what is due; for two seconds nobody else is."""
        self.move(ticks_away * EVERY)

        def expected() -> Any:
            now = self.world.now
            due = {
                name: known for name, known in self.schedules.items()
                if not known.paused and (known.next_at is None or known.next_at <= now)
                and (known.taken_until is None or known.taken_until < now)
            }  # fmt: skip
            for known in due.values():
                known.taken_until = now + seconds(2)
            return lambda rows: self._are_due(rows, due)

        self.both(expected, lambda: self.door.call("due_schedules", kinds=["every"]))

    def _are_due(self, rows: Any, due: dict[str, Schedule]) -> bool:
        assert {row.name for row in rows} == due.keys()
        for row in sorted(rows, key=lambda row: row.name):
            known, now = due[row.name], self.world.now
            assert (row.handled, row.starts_at, row.next_at, row.moment) == (
                known.handled, known.starts_at, known.next_at, now)  # fmt: skip
            self.looks_at_ticks.append(
                Look(
                    row.name, row, (id(known), known.version), known.due(now), known.next_after(now)
                )
            )
        return True

    @precondition(lambda self: self.looks_at_ticks)
    @rule(which=picks, twice=often)
    def fire(self, which: int, twice: bool) -> None:
        """What was seen, perhaps long ago, or by another who fired it meanwhile."""
        look = pick(self.looks_at_ticks, which // 2 if which % 2 else 0)

        def expected() -> Any:
            known = self.schedules.get(look.name)
            is_same = (
                known is not None and (id(known), known.version) == look.version
                and known.handled == look.row.handled and not known.paused
            )  # fmt: skip
            return lambda rows: self._fired(known if is_same else None, look, rows)

        self.both(
            expected,
            lambda: self.door.call(
                "fire", name=look.name, revision=look.row.revision, handled=look.row.handled,
                ticks=look.ticks, upto=look.row.moment, next_at=look.next_at,
            ),
            twice=twice,
        )  # fmt: skip

    @rule(name=names, overlap=overlaps, newest_first=st.booleans())
    def is_fired_by_two(self, name: str, overlap: str, newest_first: bool) -> None:
        """Two look, one after the other, and both fire what they saw."""
        if not self.schedules:
            self.put_schedule(name, overlap, False)
        self.look_for_ticks(1)
        self.look_for_ticks(1)
        if len(self.looks_at_ticks) > 1:
            for which in (0, 3) if newest_first else (3, 0):
                self.fire(which, False)
        self.look_for_ticks(1)

    def _fired(self, known: Schedule | None, look: Look, rows: Any) -> bool:
        told = [row[0] for row in rows]
        if known is None:
            return told == []
        made = fire(self.world, known, look.ticks, told)
        known.handled, known.next_at, known.taken_until = look.row.moment, look.next_at, None
        return made == told

    @invariant()
    def each_tick_has_one_job_at_most(self) -> None:
        rows = self.door.rows("select schedule, tick, job_id from howdah.ticks")
        assert len(rows) == len({(row.schedule, row.tick) for row in rows})
        assert {(row.schedule, row.tick): row.job_id for row in rows} == {
            (name, tick): job for name, s in self.schedules.items() for tick, job in s.ticks.items()
        }
