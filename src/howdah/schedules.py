"""What can be asked about schedules: rows that make jobs by time."""

from __future__ import annotations

from builtins import list as _List  # noqa: N812 - schedules.list is a verb of ours
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from howdah.call import Call, Row, function, nothing, one_bool, rows_of, scalar
from howdah.durations import Duration, seconds, span
from howdah.errors import BadInput
from howdah.job import Job, Options, check_task_name
from howdah.outcome import json_text
from howdah.ticks import rule

MISSED = ("skip", "one", "all")
OVERLAPS = ("allow", "skip", "replace")
KINDS = ("cron", "every", "rrule")


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule before it is stored: a value, validated. Durations are kept as seconds.

    `rule` is a cron line, an RRULE, or of kind `every` the seconds; `job` is what each tick makes.
    """

    name: str
    kind: str
    rule: str
    tz: str
    job: Job
    missed: str = "one"
    missed_after: float = 60.0
    missed_within: float = 86_400.0
    overlap: str = "allow"


class Found(msgspec.Struct, frozen=True):
    """A schedule as it stands. `args` and `options` are JSON text; `next_at` may not be known."""

    name: str
    kind: str
    rule: str
    tz: str
    task: str
    args: str
    options: str
    paused: bool
    next_at: datetime | None
    ended: bool
    last_tick: datetime | None
    last_job: UUID | None
    missed: str
    overlap: str
    declared_in: str | None
    vanished_at: datetime | None
    error: str | None
    starts_at: datetime
    handled: datetime


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that is due, or whose next tick is to be found; `moment` is the store's now."""

    name: str
    revision: int
    kind: str
    rule: str
    tz: str
    starts_at: datetime
    handled: datetime
    next_at: datetime | None
    missed: str
    missed_after: timedelta
    missed_within: timedelta
    moment: datetime


class Declared(msgspec.Struct, frozen=True):
    """What a declaration led to: new, changed, kept (the database has its own) or vanished."""

    name: str
    outcome: str


COLUMNS = (
    "name, kind, rule, tz, task, args::text, options::text, paused, next_at, ended, last_tick, "
    "last_job, missed, overlap, declared_in, vanished_at, error, starts_at, handled"
)
_DUE_COLUMNS = (
    "name, revision, kind, rule, tz, starts_at, handled, next_at, missed, missed_after, "
    "missed_within, moment"
)


def make_schedule(
    name: str,
    job: Job,
    cron: str | None = None,
    *,
    every: Duration | None = None,
    rrule: str | None = None,
    tz: str = "UTC",
    missed: str = "one",
    missed_after: Duration = 60,
    missed_within: Duration = "1d",
    overlap: str = "allow",
) -> Schedule:
    """A schedule of exactly one of cron, every and rrule; raises BadInput."""
    given = {"cron": cron, "every": every, "rrule": rrule}
    kinds = [kind for kind, value in given.items() if value is not None]
    if len(kinds) != 1:
        raise BadInput(
            f"{name}: give one of cron, every and rrule",
            hint='For example "0 8 * * *", or every="5m".',
        )
    text = f"{seconds(every):.6f}".rstrip("0").rstrip(".") if every is not None else cron or rrule
    if not isinstance(text, str):
        raise BadInput(f"{name}: a rule is a text, got {text!r}")
    rule(kinds[0], text, tz=tz, starts_at=datetime.now(UTC))
    for what, value, allowed in (("missed", missed, MISSED), ("overlap", overlap, OVERLAPS)):
        if value not in allowed:
            raise BadInput(f"{name}: {what} is one of {', '.join(allowed)}, got {value!r}")
    o = job.options
    if o.run_at is not None or o.delay is not None or o.id is not None:
        raise BadInput(
            f"{name}: the jobs of a schedule have no run_at, delay or id of their own",
            hint="The schedule says when they run.",
        )
    return Schedule(
        name=check_name(name),
        kind=kinds[0],
        rule=text,
        tz=tz,
        job=Job(check_task_name(job.task), job.args, o),
        missed=missed,
        missed_after=max(1.0, seconds(missed_after)),
        missed_within=seconds(missed_within),
        overlap=overlap,
    )


def check_name(name: str, of: str = "schedule") -> str:
    """The name, if a schedule, or another one of its kind, may have it."""
    if not isinstance(name, str) or not 1 <= len(name) <= 120 or "\0" in name:
        raise BadInput(f"{name!r} cannot be a {of}'s name", hint="Use 1 to 120 characters.")
    return name


def put(schedule: Schedule, *, starts_at: datetime | None = None) -> Call[bool]:
    """Make or change a schedule of the database's; False if it was just so already.

    It fires from `starts_at` on, an aware moment, and an interval counts from there; None: from
    now, or where its rule is unchanged, as before. Raises BadInput.
    """
    if starts_at is not None and starts_at.tzinfo is None:
        raise BadInput(
            f"{schedule.name}: starts_at has no time zone", hint="Give an aware datetime."
        )
    s, o = schedule, schedule.job.options
    by_rule = (
        ("interval", timedelta(seconds=float(s.rule))) if s.kind == "every" else ("text", s.rule)
    )
    return function(
        "put_schedule",
        "put_schedule",
        one_bool,
        name=("text", s.name),
        task=("text", s.job.task),
        **{s.kind: by_rule},
        tz=("text", s.tz),
        args=("jsonb", s.job.args),
        queue=("text", o.queue),
        priority=("bigint", o.priority),
        max_attempts=("bigint", o.max_attempts),
        timeout=("interval", span(o.timeout)),
        delivery=("text", o.delivery),
        unique_key=("text", o.unique_key),
        headers=("jsonb", json_text(o.headers)),
        tags=("text[]", [*o.tags] or None),
        no_timeout=("boolean", o.no_timeout),
        missed=("text", s.missed),
        missed_after=("interval", span(s.missed_after)),
        missed_within=("interval", span(s.missed_within)),
        overlap=("text", s.overlap),
        starts_at=("timestamptz", starts_at),
    )


def declare(declared: Mapping[str, Sequence[Schedule]]) -> Call[_List[Declared]]:
    """Keep what an app declares, by package; gives what was not there just so already."""
    rows = [_declaration(s, package) for package, each in declared.items() for s in each]
    return function(
        "declare_schedules",
        "name, outcome",
        rows_of(Declared),
        schedules=("jsonb", msgspec.json.encode(rows).decode()),
        packages=("text[]", [*declared]),
    )


def _declaration(s: Schedule, package: str) -> dict[str, object]:
    return {
        "name": s.name,
        "kind": s.kind,
        "rule": s.rule,
        "tz": s.tz,
        "task": s.job.task,
        "args": msgspec.Raw(s.job.args.encode()),
        "options": job_options(s.job.options),
        "missed": s.missed,
        "missed_after": f"{s.missed_after:.6f} s",
        "missed_within": f"{s.missed_within:.6f} s",
        "overlap": s.overlap,
        "declared_in": package,
    }


def job_options(o: Options) -> dict[str, object]:
    """Options as the store keeps them for jobs to come."""
    given = {"queue": o.queue, "priority": o.priority, "max_attempts": o.max_attempts,
             "timeout": None if o.timeout is None else f"{o.timeout:.6f} s",
             "no_timeout": o.no_timeout or None, "delivery": o.delivery,
             "unique_key": o.unique_key, "headers": o.headers, "tags": o.tags or None}  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def list() -> Call[Sequence[Found]]:  # noqa: A001 - schedules.list reads as it should
    """All schedules, by name."""
    return Call(f"select {COLUMNS} from {{schema}}.schedules order by name", (), rows_of(Found))


def get(name: str) -> Call[Found | None]:
    """One schedule."""
    text = f"select {COLUMNS} from {{schema}}.schedules where name = cast($1 as text)"
    return Call(text, (name,), lambda rows: Found(*rows[0]) if rows else None)


def pause(name: str) -> Call[bool]:
    """Fire it no more; False if it was paused already. Raises NotFound."""
    return function("pause_schedule", "pause_schedule", one_bool, name=("text", name))


def resume(name: str) -> Call[bool]:
    """Fire it from now on; False if it was not paused. Raises NotFound."""
    return function("resume_schedule", "resume_schedule", one_bool, name=("text", name))


def run(name: str) -> Call[UUID]:
    """A job of it now, besides its ticks; gives the job's id. Raises NotFound."""
    return function("run_schedule", "run_schedule", scalar, name=("text", name))


def delete(name: str) -> Call[bool]:
    """Remove it; its jobs stay. False if there is none."""
    return function("delete_schedule", "delete_schedule", one_bool, name=("text", name))


# For those who fire them


def due(kinds: Sequence[str]) -> Call[_List[Due]]:
    """Those of these kinds that are due, or whose next tick is to be found; for two seconds
    nobody else is told of them.
    """
    names = [*Due.__struct_fields__]

    def read(rows: Sequence[Row]) -> _List[Due]:
        return [Due(**dict(zip(names, row, strict=True))) for row in rows]

    return function("due_schedules", _DUE_COLUMNS, read, kinds=("text[]", [*kinds]))


def fire(
    due: Due, ticks: Sequence[datetime], *, upto: datetime, next_at: datetime | None
) -> Call[_List[UUID]]:
    """Store a job for each tick, if the schedule still is as it was; gives their ids."""
    return function(
        "fire",
        "fire",
        lambda rows: [row[0] for row in rows],
        name=("text", due.name),
        revision=("bigint", due.revision),
        handled=("timestamptz", due.handled),
        ticks=("timestamptz[]", [*ticks]),
        upto=("timestamptz", upto),
        next_at=("timestamptz", next_at),
    )


def fail(due: Due, error: str) -> Call[None]:
    """Say what is wrong with it; nobody tries it again for a minute."""
    return function(
        "fail_schedule",
        "fail_schedule",
        nothing,
        name=("text", due.name),
        revision=("bigint", due.revision),
        error=("text", error),
    )
