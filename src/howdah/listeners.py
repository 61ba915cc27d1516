"""What can be asked about events and listeners: rows that turn an event into jobs."""

from __future__ import annotations

from builtins import list as _List  # noqa: N812 - listeners.list is a verb of ours
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from howdah.call import Call, function, one_bool, one_int, rows_of
from howdah.durations import Duration, seconds, span
from howdah.errors import BadInput
from howdah.job import Job, check_task_name
from howdah.outcome import json_text
from howdah.schedules import Declared, check_name, job_options

MOST_ARGS = 500_000  # bytes; the event has the rest


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A listener before it is stored: a value, validated. `delay` is in seconds."""

    name: str
    event: str
    job: Job
    delay: float | None = None
    collapse: bool = False
    collapse_on: str | None = None


class Found(msgspec.Struct, frozen=True):
    """A listener as it stands. `args` and `options` are JSON text."""

    name: str
    event: str
    task: str
    args: str
    options: str
    delay: timedelta | None
    collapse: bool
    collapse_on: str | None
    paused: bool
    declared_in: str | None
    vanished_at: datetime | None


COLUMNS = (
    "name, event, task, args::text, options::text, delay, collapse, collapse_on, paused, "
    "declared_in, vanished_at"
)


def make_listener(
    name: str,
    event: str,
    job: Job,
    *,
    delay: Duration | None = None,
    collapse: bool = False,
    collapse_on: str | None = None,
) -> Listener:
    """A listener; raises BadInput for what cannot be one."""
    if not isinstance(event, str) or not 1 <= len(event) <= 400 or "*" in event[:-1]:
        raise BadInput(
            f"{str(event)[:60]!r} is no event to listen to",
            hint="Name an event, or a prefix with one * behind it: job.failed.mail.*",
        )
    if len(job.args) > MOST_ARGS:
        raise BadInput(
            f"{name}: its args have {len(job.args):,} bytes, at most {MOST_ARGS:,} are taken",
            hint="The event comes beside them. Have the task look up what it needs.",
        )
    o = job.options
    if o.run_at is not None or o.delay is not None or o.id is not None or o.unique_key is not None:
        raise BadInput(
            f"{name}: the jobs of a listener have no run_at, delay, id or unique_key of their own",
            hint="Give the delay to the listener; to gather events in one job, collapse=True.",
        )
    return Listener(
        name=check_name(name, "listener"),
        event=event,
        job=Job(check_task_name(job.task), job.args, o),
        delay=None if delay is None else seconds(delay),
        collapse=collapse or collapse_on is not None,
        collapse_on=collapse_on,
    )


def emit(event: str, data: object = None) -> Call[int]:
    """Emit an event: each listener that it fits gets a job; gives how many listened."""
    given = {} if data is None else data
    return function(
        "emit",
        "emit",
        one_int,
        event=("text", event),
        data=("jsonb", msgspec.json.encode(given).decode()),
    )


def put(listener: Listener) -> Call[bool]:
    """Make or change a listener of the database's; False if it was just so already."""
    o = listener.job.options
    return function(
        "put_listener",
        "put_listener",
        one_bool,
        name=("text", listener.name),
        event=("text", listener.event),
        task=("text", listener.job.task),
        args=("jsonb", listener.job.args),
        queue=("text", o.queue),
        priority=("bigint", o.priority),
        delay=("interval", span(listener.delay)),
        max_attempts=("bigint", o.max_attempts),
        timeout=("interval", span(o.timeout)),
        delivery=("text", o.delivery),
        headers=("jsonb", json_text(o.headers)),
        tags=("text[]", [*o.tags] or None),
        no_timeout=("boolean", o.no_timeout),
        collapse=("boolean", listener.collapse),
        collapse_on=("text", listener.collapse_on),
    )


def declare(declared: Mapping[str, Sequence[Listener]]) -> Call[_List[Declared]]:
    """Keep what an app declares, by package; gives what was not there just so already."""
    rows = [
        {
            "name": listener.name,
            "event": listener.event,
            "task": listener.job.task,
            "args": msgspec.Raw(listener.job.args.encode()),
            "options": job_options(listener.job.options),
            "delay": None if listener.delay is None else f"{listener.delay:.6f} s",
            "collapse": listener.collapse,
            "collapse_on": listener.collapse_on,
            "declared_in": package,
        }
        for package, each in declared.items()
        for listener in each
    ]
    return function(
        "declare_listeners",
        "name, outcome",
        rows_of(Declared),
        listeners=("jsonb", msgspec.json.encode(rows).decode()),
        packages=("text[]", [*declared]),
    )


def list() -> Call[Sequence[Found]]:  # noqa: A001 - listeners.list reads as it should
    """All listeners, by name."""
    return Call(f"select {COLUMNS} from {{schema}}.listeners order by name", (), rows_of(Found))


def pause(name: str) -> Call[bool]:
    """Let it hear nothing; False if it was paused already. Raises NotFound."""
    return function("pause_listener", "pause_listener", one_bool, name=("text", name))


def resume(name: str) -> Call[bool]:
    """Let it hear again; False if it was not paused. Raises NotFound."""
    return function("resume_listener", "resume_listener", one_bool, name=("text", name))


def delete(name: str) -> Call[bool]:
    """Remove it; its jobs stay. False if there is none."""
    return function("delete_listener", "delete_listener", one_bool, name=("text", name))
