"""Fires what is due: asks the store, works out the ticks, and has the store compare and insert."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from howdah import schedules
from howdah.call import Call
from howdah.errors import BadInput, Conflict
from howdah.schedules import Due
from howdah.ticks import Rule, last_tick, rule, ticks

MOST = 1000  # ticks of a schedule at once; more follow
ROUNDS = 100  # so many at once at most: whoever asked has other things to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What is to be done about a schedule: fire these ticks; all up to `upto` is dealt with."""

    ticks: list[datetime]
    upto: datetime
    next_at: datetime | None


def plan(due: Due) -> Firing:
    """What is to be done about a schedule at its moment. Pure; raises BadInput.

    If somebody was there to fire the first tick in time, all due ones are fired; else the policy
    for missed ones decides of them all.
    """
    of = rule(due.kind, due.rule, tz=due.tz, starts_at=due.starts_at)
    first = due.next_at or of.after(due.handled)
    if first is None or first > due.moment:
        return Firing(ticks=[], upto=due.handled, next_at=first)
    missed = due.moment - first > due.missed_after
    found = _missed(due, of) if missed else ticks(of, due.handled, due.moment, MOST)
    upto = found[-1] if len(found) == MOST else due.moment
    return Firing(ticks=found, upto=upto, next_at=of.after(upto))


def _missed(due: Due, of: Rule) -> list[datetime]:
    start = max(due.handled, due.moment - due.missed_within)
    if due.missed == "all":
        return ticks(of, start, due.moment, MOST)
    last = None if due.missed == "skip" else last_tick(of, start, due.moment)
    return [] if last is None else [last]


async def fire_due(
    run: Callable[[Call[Any]], Awaitable[Any]],
    failed: Callable[[str, str], None] = lambda name, error: None,
) -> int:
    """Fire all that is due; gives how many jobs that made. `failed` hears what is wrong."""
    fired = 0
    for _ in range(ROUNDS):
        found: list[Due] = await run(schedules.due(kinds()))
        if not found:
            break
        for due in found:
            fired += await _fire(run, due, failed)
    return fired


async def _fire(
    run: Callable[[Call[Any]], Awaitable[Any]], due: Due, failed: Callable[[str, str], None]
) -> int:
    """One that cannot be fired is reported, and stepped over."""
    try:
        todo = _planned(due)
        call = schedules.fire(due, todo.ticks, upto=todo.upto, next_at=todo.next_at)
        return len(await run(call))
    except (BadInput, Conflict) as error:
        failed(due.name, error.message)
        await run(schedules.fail(due, error.message))
        return 0


def _planned(due: Due) -> Firing:
    try:
        return plan(due)
    except BadInput:
        raise
    except Exception as error:  # what a rule can do to a library is manifold
        raise BadInput(f"its rule cannot be read: {type(error).__name__}: {error}") from error


@cache
def kinds() -> tuple[str, ...]:
    """The kinds of schedules that can be read here: RRULEs need python-dateutil."""
    has_dateutil = importlib.util.find_spec("dateutil") is not None
    return schedules.KINDS if has_dateutil else ("cron", "every")
