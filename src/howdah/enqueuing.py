"""From jobs to the call that stores them: the lightest there is for what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec

from howdah.call import Call, Row, T, function, given, scalar
from howdah.durations import span
from howdah.errors import BadInput, TooLarge
from howdah.ids import new_ids
from howdah.job import MAX_BATCH, Job, Options, Startable
from howdah.keys import Keys
from howdah.outcome import json_text


def enqueue(job: Job | Startable) -> Call[UUID]:
    """Store one job; gives its id, or that of the job which a unique key or id led to.

    Or a workflow, of which it gives the id of the run.
    """
    if not isinstance(job, Job):
        if not callable(getattr(job, "start", None)):
            raise BadInput(f"{job!r} is no job", hint=_MAKE_ONE)
        return job.start()
    if job.references:
        raise BadInput(_NOT_ALONE.format(job.task), hint="Add it to a Workflow.")
    if job.options.after:
        return _enqueue_json([job], lambda rows: rows[0][0])
    return function(
        "enqueue",
        "enqueue",
        scalar,
        **given(
            task=("text", job.task),
            args=("jsonb", job.args),
            id=("uuid", job.options.id),
            unique_key=("text", job.options.unique_key),
            **_shared(job.options),
            **_keys(job.options.keys),
        ),
    )


_MAKE_ONE = "Make one of a task: task.job(…). To call a task itself runs it here and now."


def _keys(keys: Keys | None) -> dict[str, tuple[str, Any]]:
    if keys is None:
        return {}
    return {
        "serial_key": ("text", keys.serial_key),
        "collapse": ("text", keys.collapse),
        "on_failure": ("text", keys.on_failure),
        "limit_keys": ("text[]", list(keys.limit_keys) or None),
        "unique_per": ("text", keys.unique_per),
        "unique_while": ("text", keys.unique_while),
        "unique_for": ("interval", span(keys.unique_for)),
        "on_conflict": ("text", keys.on_conflict),
        "earlier": ("boolean", keys.earlier),
    }


def _shared(o: Options) -> dict[str, tuple[str, Any]]:
    """The options that a whole batch may share."""
    return {
        "queue": ("text", o.queue),
        "priority": ("bigint", o.priority),
        "run_at": ("timestamptz", o.run_at),
        "delay": ("interval", span(o.delay)),
        "max_attempts": ("int", o.max_attempts),
        "timeout": ("interval", span(o.timeout)),
        "delivery": ("text", o.delivery),
        "headers": ("jsonb", json_text(o.headers)),
        "tags": ("text[]", list(o.tags) or None),
        "no_timeout": ("boolean", o.no_timeout),
    }


def enqueue_many(jobs: Iterable[Job]) -> Call[list[UUID]]:
    """Store up to 10,000 jobs, all or none; gives their ids in input order."""
    if not isinstance(jobs, Iterable) or isinstance(jobs, Job | str | bytes):
        raise BadInput(
            f"{jobs!r} is no list of jobs",
            hint="Give a list of them; or stream them: enqueue_stream(…).",
        )
    jobs = jobs if isinstance(jobs, Sequence) else list(islice(jobs, MAX_BATCH + 1))
    if strange := [each for each in jobs if not isinstance(each, Job)]:
        raise BadInput(f"{strange[0]!r} is no job", hint=_MAKE_ONE)
    if len(jobs) > MAX_BATCH:
        raise TooLarge(
            f"{len(jobs)} jobs in one call, at most {MAX_BATCH} are taken",
            hint="Send them in several calls.",
        )
    if jobs and _alike(jobs):
        keys = [job.options.unique_key for job in jobs if job.options.unique_key is not None]
        if not keys:
            return _enqueue_alike(jobs)
        if len(keys) == len(jobs):
            return _enqueue_unique(jobs, keys)
    return _enqueue_json(jobs, lambda rows: [row[0] for row in rows])


def _enqueue_json(jobs: Sequence[Job], read: Callable[[Sequence[Row]], T]) -> Call[T]:
    if strange := next((job for job in jobs if job.references), None):
        raise BadInput(_NOT_ALONE.format(strange.task), hint="Add it to a Workflow.")
    fields = [fields_of(job) for job in jobs]
    return function(
        "enqueue_json", "id", read, jobs=("jsonb", msgspec.json.encode(fields).decode())
    )


_NOT_ALONE = "a job of {}: results of other steps are arguments only within a workflow"


def _alike(jobs: Sequence[Job]) -> bool:
    """Whether the jobs share task and options, but for unique keys: no ids, and no other keys."""
    task, options = jobs[0].task, jobs[0].options
    shared = _without_key(options)
    return (
        options.id is None
        and options.keys is None
        and not options.after
        and all(
            (job.options is options or _without_key(job.options) == shared)
            and job.task == task
            and not job.references
            for job in jobs
        )
    )


def _without_key(options: Options) -> Options:
    return msgspec.structs.replace(options, unique_key=None)


def _enqueue_alike(jobs: Sequence[Job]) -> Call[list[UUID]]:
    ids = new_ids(len(jobs))
    return function(
        "enqueue_alike",
        "led_to",
        lambda rows: rows[0][0] or ids,
        task=("text", jobs[0].task),
        ids=("uuid[]", ids),
        args=("text[]", [job.args for job in jobs]),
        **given(**_shared(jobs[0].options)),
    )


def _enqueue_unique(jobs: Sequence[Job], keys: list[str]) -> Call[list[UUID]]:
    return function(
        "enqueue_unique",
        "enqueue_unique",
        scalar,
        task=("text", jobs[0].task),
        ids=("uuid[]", new_ids(len(jobs))),
        args=("text[]", [job.args for job in jobs]),
        unique_keys=("text[]", keys),
        **given(**_shared(jobs[0].options)),
    )


def fields_of(job: Job) -> dict[str, object]:
    """A job as the store takes it from JSON."""
    fields: dict[str, object] = dict(msgspec.structs.asdict(job.options))
    for name in ("delay", "timeout"):
        if fields[name] is not None:
            fields[name] = f"{fields[name]:.6f} s"
    del fields["keys"]
    if fields.pop("after"):
        fields["after"] = {str(parent): policy for parent, policy in job.options.after}
    return {
        "task": job.task,
        "args": msgspec.Raw(job.args.encode()),
        **fields,
        **({} if job.options.keys is None else job.options.keys.fields()),
    }
