"""What can be asked about the store itself: its version, its tasks, its chores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from howdah.call import Call, Row, function, one_int, rows_of


class Declared(msgspec.Struct, frozen=True):
    """A task as workers declared it. `parameters` is JSON Schema, as text."""

    name: str
    queue: str
    priority: int
    max_attempts: int
    timeout: timedelta | None
    delivery: str
    parameters: str | None
    declared_at: datetime


TASK_COLUMNS = (
    "name, queue, priority, max_attempts, timeout, delivery, parameters::text, declared_at"
)


def schema_version() -> Call[int]:
    """The newest migration that is applied."""
    return function("schema_version", "schema_version", one_int)


def admit(n: int) -> Call[int]:
    """Let in whom keys and shares may let in, for room of `n` jobs; gives how many became ready."""
    return function("admit", "admit", one_int, n=("int", n))


def declare_tasks(declarations: str) -> Call[int]:
    """Keep what an app declares of its tasks (a JSON array); gives how many were new or changed."""
    return function("declare_tasks", "declare_tasks", one_int, tasks=("jsonb", declarations))


def tasks() -> Call[list[Declared]]:
    """All tasks that were ever declared, by name."""
    text = f"select {TASK_COLUMNS} from {{schema}}.tasks order by name"
    return Call(text, (), rows_of(Declared))


def stage() -> Call[int]:
    """Make due jobs ready; gives how many."""
    return function("stage", "stage", one_int)


def chores(*only: str) -> Call[dict[str, int]]:
    """Do all chores, or only some, once; gives how much each found to do."""
    return function("chores", "chore, done", _counts, which=("text[]", [*only] or None))


def channel() -> Call[str]:
    """The channel of this schema's notifications."""
    return function("channel", "channel", lambda rows: str(rows[0][0]))


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in rows}
