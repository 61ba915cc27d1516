"""What can be asked about queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from howdah.call import Call, function, nothing, one_bool, rows_of


class Queue(msgspec.Struct, frozen=True):
    """A queue as it stands; counts but that of running jobs stop at 1,000.

    `oldest` is how long its next job has waited.
    """

    queue: str
    paused: bool
    ready: int
    scheduled: int
    running: int
    failed: int
    oldest: timedelta | None
    keep_history: bool
    durable: bool
    unserved: Sequence[str] = ()  # tasks among its first jobs that none of its workers knows


COLUMNS = (
    "queue, paused, ready, scheduled, running, failed, oldest, keep_history, durable, unserved"
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


def watch(queue: str) -> Call[str]:
    """Have the states of its jobs told for a minute; gives the channel to LISTEN to."""
    return function("watch", "watch", lambda rows: str(rows[0][0]), queue=("text", queue))


def put(queue: str, *, keep_history: bool | None = None, durable: bool | None = None) -> Call[None]:
    """Set what a queue keeps of its finished jobs, and whether its commits wait for the disk."""
    return function(
        "put_queue",
        "put_queue",
        nothing,
        queue=("text", queue),
        keep_history=("boolean", keep_history),
        durable=("boolean", durable),
    )
