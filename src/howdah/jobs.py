"""What can be asked about jobs: functions that return Calls, which a client runs."""

from __future__ import annotations

from builtins import list as _List  # noqa: N812 - jobs.list is a verb of ours
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from howdah.answer import Answer
from howdah.call import (
    Call,
    Row,
    first_of,
    function,
    given,
    nothing,
    one_bool,
    one_int,
    rows_of,
    scalar,
)
from howdah.durations import Duration, span
from howdah.enqueuing import enqueue as enqueue
from howdah.enqueuing import enqueue_many as enqueue_many
from howdah.errors import BadInput
from howdah.job import check_patterns
from howdah.outcome import Outcome, json_text
from howdah.rows import ATTEMPT_COLUMNS as ATTEMPT_COLUMNS
from howdah.rows import CLAIMED_COLUMNS as CLAIMED_COLUMNS
from howdah.rows import FOUND_COLUMNS as FOUND_COLUMNS
from howdah.rows import STATES as STATES
from howdah.rows import Attempt as Attempt
from howdah.rows import Claimed as Claimed
from howdah.rows import End as End
from howdah.rows import Found as Found
from howdah.rows import Note as Note
from howdah.rows import Refused as Refused


def claim(
    queues: Sequence[str] | None = None,
    n: int = 1,
    *,
    worker: UUID | None = None,
    tasks: Sequence[str] | None = None,
    idle: bool = False,
    except_queues: Sequence[str] = (),
    suspects: int | None = None,
    floors: str | None = None,
) -> Call[_List[Claimed]]:
    """Lease up to `n` ready jobs, greatest priority first, then first come.

    Queues and tasks are names or patterns with a trailing `*`; None: all; `except_queues`, names or
    patterns too, are what a pattern is not to take. At most `suspects` of them are jobs that are to
    run alone; None: any number. Without a worker each job is held for its own timeout. With floors
    (JSON, of this claimer) it is to be run by itself, and read `with_news`.
    """
    if not 1 <= n <= 10_000:
        raise BadInput(f"cannot claim {n} jobs", hint="Ask for 1 to 10000.")
    return function(
        "claim",
        CLAIMED_COLUMNS,
        rows_of(Claimed),
        queues=("text[]", None if queues is None else check_patterns(queues)),
        n=("int", n),
        worker=("uuid", worker),
        tasks=("text[]", None if tasks is None else check_patterns(tasks)),
        idle=("boolean", idle),
        except_queues=("text[]", check_patterns(except_queues) or None),
        suspects=("int", suspects),
        floors=("jsonb", floors),
    )


def with_news(claiming: Call[_List[Claimed]]) -> Call[tuple[_List[Claimed], str]]:
    """What a claim with floors answers: jobs, and the news for the next floors, JSON."""
    return Call(claiming.text, claiming.values, _with_news)


def _with_news(rows: Sequence[Row]) -> tuple[_List[Claimed], str]:
    *claimed, news = rows
    return [Claimed(*row) for row in claimed], news[_ARGS]


_ARGS = CLAIMED_COLUMNS.split(", ").index("args::text")


def claim_above(
    queue: str,
    priority: int,
    seq: int,
    n: int,
    *,
    worker: UUID,
    tasks: Sequence[str],
    others: bool = True,
) -> Call[_List[Claimed]]:
    """Lease up to `n` jobs, 1 to 10,000, that have come to one priority of one queue above a floor.

    For a worker that has just been told of them: cheaper than `claim`, to which it leaves all that
    is not so simple, and leases nothing then. `tasks` are names; with `others` a ready job of any
    other queue is such a case.
    """
    return function(
        "claim_above",
        CLAIMED_COLUMNS,
        rows_of(Claimed),
        queue=("text", queue),
        priority=("int", priority),
        seq=("bigint", seq),
        n=("int", n),
        worker=("uuid", worker),
        tasks=("text[]", tasks),
        others=("boolean", others),
    )


def ack(job_id: UUID, lease: UUID, result: object = None) -> Call[None]:
    """Finish one job as succeeded; raises LeaseLost when the lease is not, or no longer, yours."""
    return function(
        "ack",
        "ack",
        nothing,
        id=("uuid", job_id),
        lease=("uuid", lease),
        result=("jsonb", json_text(result)),
    )


def nack(
    job_id: UUID,
    lease: UUID,
    error: str | None = None,
    *,
    retry_in: Duration | None = None,
    retry_at: datetime | None = None,
    retry: bool = True,
) -> Call[str]:
    """End one attempt that did not succeed; gives the job's new state. Raises LeaseLost."""
    if retry_at is not None and retry_at.tzinfo is None:
        raise BadInput("retry_at has no time zone", hint="Give an aware datetime.")
    return function(
        "nack",
        "nack",
        scalar,
        id=("uuid", job_id),
        lease=("uuid", lease),
        error=("text", None if error is None else storable(error)),
        retry_in=("interval", span(retry_in)),
        retry_at=("timestamptz", retry_at),
        retry=("boolean", retry),
    )


def finish(
    outcomes: Sequence[Outcome],
    *,
    done: Sequence[UUID] | None = None,
    skip_locked: bool = False,
) -> Call[_List[Refused]]:
    """End many attempts in one round trip; gives those that were refused, and why.

    `done` are leases of which the caller holds no further job; None: it does not know.
    """
    kinds = [outcome.kind for outcome in outcomes]
    plain = all(kind == "succeeded" for kind in kinds)
    answers = [outcome.answer for outcome in outcomes]
    is_http = any(answers)
    if is_http and any(outcome.steps is not None for outcome in outcomes):
        raise BadInput(
            "answers to URL jobs and steps for workflows cannot be stored in one call",
            hint="Finish the one after the other.",
        )
    return function(
        "finish_http" if is_http else "finish",
        "id, reason",
        rows_of(Refused),
        ids=("uuid[]", [outcome.id for outcome in outcomes]),
        leases=("uuid[]", [outcome.lease for outcome in outcomes]),
        outcomes=("text[]", None if plain else kinds),
        results=("jsonb[]", _column([outcome.result for outcome in outcomes])),
        errors=("text[]", _column([outcome.error for outcome in outcomes])),
        reasons=("text[]", _column([outcome.reason for outcome in outcomes])),
        retry_in=("interval[]", _column([span(outcome.retry_in) for outcome in outcomes])),
        done=("uuid[]", None if done is None else _List(done)),
        skip_locked=("boolean", skip_locked),
        **(_answers(answers) if is_http else {}),
        **given(
            cursors=("jsonb[]", _column([outcome.cursor for outcome in outcomes])),
            steps=("jsonb[]", _column([outcome.steps for outcome in outcomes])),
        ),
    )


def finish_one(outcome: Outcome) -> Call[_List[Refused]]:
    """End one attempt, on a connection that may be new; gives why that was refused, if it was."""
    return function(
        "finish",
        "id, reason",
        rows_of(Refused),
        ids=("uuid[1]", outcome.id),
        leases=("uuid[1]", outcome.lease),
        **given(
            outcomes=("text[1]", None if outcome.kind == "succeeded" else outcome.kind),
            results=("jsonb[1]", outcome.result),
            errors=("text[1]", outcome.error),
            reasons=("text[1]", outcome.reason),
            retry_in=("interval[1]", span(outcome.retry_in)),
            cursors=("jsonb[1]", outcome.cursor),
            steps=("jsonb[1]", outcome.steps),
        ),
    )


def _answers(answers: _List[Answer | None]) -> dict[str, tuple[str, Any]]:
    """What servers said, beside the outcomes."""
    headers = [None if a is None else msgspec.json.encode(a.headers).decode() for a in answers]
    return {
        "statuses": ("int[]", [a and a.status for a in answers]),
        "urls": ("text[]", [a and a.url for a in answers]),
        "response_headers": ("jsonb[]", headers),
        "bodies": ("bytea[]", [None if a is None else a.body for a in answers]),
        "durations": ("interval[]", [None if a is None else span(a.duration) for a in answers]),
        "numbers": ("int[]", [a and a.attempts for a in answers]),
    }


def _column(values: _List[Any]) -> _List[Any] | None:
    return None if all(value is None for value in values) else values


def extend(job_id: UUID, lease: UUID, duration: Duration) -> Call[datetime]:
    """Give a running job so much more time from now; gives when that ends. Raises LeaseLost."""
    return function(
        "extend",
        "extend",
        scalar,
        id=("uuid", job_id),
        lease=("uuid", lease),
        duration=("interval", span(duration)),
    )


def progress(
    job_id: UUID, lease: UUID, done: float, total: float | None = None, note: str | None = None
) -> Call[None]:
    """Say how far a running job is. Raises LeaseLost."""
    return function(
        "progress",
        "progress",
        nothing,
        id=("uuid", job_id),
        lease=("uuid", lease),
        done=("float8", done),
        total=("float8", total),
        note=("text", None if note is None else storable(note)),
    )


def note_progress(notes: Sequence[Note]) -> Call[int]:
    """Say how far many are; gives how many still are the caller's."""
    return function(
        "note_progress",
        "note_progress",
        one_int,
        ids=("uuid[]", [note.id for note in notes]),
        leases=("uuid[]", [note.lease for note in notes]),
        done=("float8[]", [note.done for note in notes]),
        totals=("float8[]", [note.total for note in notes]),
        notes=("text[]", [note.note for note in notes]),
    )


def release(job_id: UUID, lease: UUID) -> Call[None]:
    """Give a job back, to the front, without charging the attempt. Raises LeaseLost."""
    return function("release", "release", nothing, id=("uuid", job_id), lease=("uuid", lease))


def cancel(job_id: UUID) -> Call[bool]:
    """Cancel a job, or ask its worker to; False if it has finished or is gone."""
    return function("cancel", "cancel", one_bool, id=("uuid", job_id))


def retry(job_id: UUID) -> Call[bool]:
    """Bring a finished job back, with fresh room for attempts; False if it has not finished.

    Raises Conflict if its unique key is taken, or if one that it waits for ended badly.
    """
    return function("retry", "retry", one_bool, id=("uuid", job_id))


def run_now(job_id: UUID) -> Call[bool]:
    """Make a scheduled job ready; False if it is not scheduled."""
    return function("run_now", "run_now", one_bool, id=("uuid", job_id))


def delete(job_id: UUID) -> Call[bool]:
    """Remove a job that does not run, and its history; False if it runs or is gone."""
    return function("delete", "delete", one_bool, id=("uuid", job_id))


def why(job_id: UUID) -> Call[str]:
    """Why this job is not running, in one sentence."""
    return function("why", "why", scalar, id=("uuid", job_id))


def backlog(queue: str | None = None, *, cap: int = 10_000) -> Call[int]:
    """Jobs that are due and not paused, counted up to `cap`."""
    return function("backlog", "backlog", one_int, queue=("text", queue), cap=("int", cap))


def outcome(job_id: UUID, *, waiter: UUID | None = None) -> Call[End | None]:
    """What became of a job, so far; with a waiter its end will be notified. None: no such job."""
    return function(
        "outcome",
        "state, result::text, error",
        first_of(End),
        id=("uuid", job_id),
        waiter=("uuid", waiter),
    )


def get(job_id: UUID) -> Call[Found | None]:
    """One job, live or finished."""
    text = f"select {FOUND_COLUMNS} from {{schema}}.jobs where id = cast($1 as uuid)"
    return Call(text, (job_id,), first_of(Found))


def attempts(job_id: UUID) -> Call[_List[Attempt]]:
    """The attempts of a job that did not simply succeed, oldest first."""
    text = (
        f"select {ATTEMPT_COLUMNS} from {{schema}}.attempts "
        "where job_id = cast($1 as uuid) order by finished_at"
    )
    return Call(text, (job_id,), rows_of(Attempt))


def list(  # noqa: A001 - jobs.list reads as it should
    *,
    state: str | None = None,
    queue: str | None = None,
    task: str | None = None,
    tag: str | None = None,
    older_than: Duration | None = None,
    newer_than: Duration | None = None,
    before: UUID | None = None,
    down_to: UUID | None = None,
    limit: int = 50,
) -> Call[Sequence[Found]]:
    """Jobs, newest id first, a page at a time; `before` is the last id of the page before.

    Age counts from creation. No job is counted: a page costs what has to be looked at to fill it.
    With filters that few jobs pass that may be all there are; `down_to`, from `list_end`, is where
    to stop.
    """
    if state is not None and state not in STATES:
        raise BadInput(f"{state!r} is no state", hint=f"States are {', '.join(STATES)}.")
    if not 1 <= limit <= 10_000:
        raise BadInput(f"cannot list {limit} jobs at once", hint="Ask for 1 to 10000.")
    return function(
        "list_jobs",
        FOUND_COLUMNS,
        rows_of(Found),
        state=("text", state),
        queue=("text", queue),
        task=("text", task),
        tag=("text", tag),
        older_than=("interval", span(older_than)),
        newer_than=("interval", span(newer_than)),
        before=("uuid", before),
        n=("int", limit),
        down_to=("uuid", down_to),
    )


def list_end(*, before: UUID | None = None, jobs: int = 50_000) -> Call[UUID | None]:
    """The id so many jobs below `before`, or below the newest; None if there are fewer."""
    return function("list_end", "list_end", scalar, before=("uuid", before), jobs=("int", jobs))


def ids_ending(text: str, *, newest: int) -> Call[_List[UUID]]:
    """Which of the newest jobs have an id that ends so: five at most."""
    return function(
        "ids_ending",
        "ids_ending",
        lambda rows: [row[0] for row in rows],
        ending=("text", text),
        n=("int", newest),
    )


def storable(text: str) -> str:
    """The text as PostgreSQL can hold it: NUL and lone surrogates replaced, at most 64 KiB kept."""
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "backslashreplace").decode()
    if len(clean) > 65_536:
        clean = (
            f"{clean[:16_384]}\n… {len(clean) - 65_536} characters left out …\n{clean[-49_152:]}"
        )
    return clean
