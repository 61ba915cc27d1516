"""What can be asked about queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from howdah.call import Call, function, nothing, one_bool, rows_of
from howdah.durations import Duration, seconds, span


class Queue(msgspec.Struct, frozen=True):
    """A queue as it stands; counts but that of running jobs stop at 1,000.

    `oldest` is how long its next job has waited.
    """

    queue: str
    paused: bool
    ready: int
    blocked: int
    scheduled: int
    running: int
    failed: int
    oldest: timedelta | None
    keep_history: bool
    durable: bool
    fair_by: str | None
    age_after: timedelta | None


COLUMNS = (
    "queue, paused, ready, blocked, scheduled, running, failed, oldest, keep_history, durable, "
    "fair_by, age_after"
)


def list() -> Call[Sequence[Queue]]:  # noqa: A001 - queues.list reads as it should
    """All queues that are known or hold jobs, by name."""
    return Call(f"select {COLUMNS} from {{schema}}.queues order by queue", (), rows_of(Queue))


def pause(queue: str) -> Call[bool]:
    """Stop claims from a queue; False if it was paused already."""
    return function("pause", "pause", one_bool, queue=("text", queue))


def resume(queue: str) -> Call[bool]:
    """Let a paused queue be claimed from again; False if it was not paused."""
    return function("resume", "resume", one_bool, queue=("text", queue))


def put(
    queue: str,
    *,
    keep_history: bool | None = None,
    durable: bool | None = None,
    fair_by: str | None = None,
    age_after: Duration | None = None,
) -> Call[None]:
    """Set what a queue keeps of its finished jobs, whether its commits wait for the disk, and more.

    `fair_by`, "{tenant}", has it served in rounds over what the template makes of the jobs'
    arguments; `age_after` raises a job's priority by one whenever it has waited so long. An empty
    text and 0 take them away; None leaves a setting as it is.
    """
    return function(
        "put_queue",
        "put_queue",
        nothing,
        queue=("text", queue),
        keep_history=("boolean", keep_history),
        durable=("boolean", durable),
        fair_by=("text", fair_by),
        age_after=("interval", None if age_after is None else span(seconds(age_after))),
    )


def put_share(queue: str, key: str, weight: float) -> Call[None]:
    """How much of a queue with `fair_by` a key gets, beside the others, which have 1."""
    return function(
        "put_share",
        "put_share",
        nothing,
        queue=("text", queue),
        key=("text", key),
        weight=("float8", weight),
    )
