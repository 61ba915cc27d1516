"""What can be asked about workflows, and about the pipelines and requests that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from howdah.call import Call, first_of, function, nothing, one_bool, one_int, rows_of, scalar
from howdah.errors import BadInput

STATES = ("running", "cancelling", "succeeded", "failed", "cancelled")
COLUMNS = (
    "id, name, state, percent, steps, jobs, succeeded, failed, cancelled, priority, args::text, "
    "created_at, finished_at, result::text, is_request, error"
)
STEP_COLUMNS = (
    "name, task, state, created, running, finished, succeeded, failed, cancelled, after, "
    'waits_for, pipeline, "order", error, started_at, finished_at'
)


class Run(msgspec.Struct, frozen=True):
    """A workflow as it stands. `percent` is the mean of its steps, and never falls."""

    id: UUID
    name: str
    state: str
    percent: float
    steps: int
    jobs: int
    succeeded: int
    failed: int
    cancelled: int
    priority: int | None
    args: str | None
    created_at: datetime
    finished_at: datetime | None
    result: str | None  # JSON text: of its last step, or of each of them by name
    is_request: bool
    error: str | None  # why it cannot go on; it is tried again every few seconds


class Step(msgspec.Struct, frozen=True):
    """A step as it stands: how many jobs were created, run now, have ended, and how."""

    name: str
    task: str
    state: str
    created: int
    running: int
    finished: int
    succeeded: int
    failed: int
    cancelled: int
    after: list[str]
    waits_for: list[str]
    pipeline: str | None
    order: int | None
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None


def list(*, state: str | None = None, limit: int = 50) -> Call[Sequence[Run]]:  # noqa: A001 - workflows.list reads as it should
    """Workflows, the newest first."""
    if state is not None and state not in STATES:
        raise BadInput(f"{state!r} is no state", hint=f"States are {', '.join(STATES)}.")
    text = (
        f"select {COLUMNS} from {{schema}}.workflows "
        "where cast($1 as text) is null or state = cast($2 as text) "
        "order by id desc limit cast($3 as int)"
    )
    return Call(text, (state, state, limit), rows_of(Run))


def get(workflow: UUID) -> Call[Run | None]:
    """One workflow."""
    text = f"select {COLUMNS} from {{schema}}.workflows where id = cast($1 as uuid)"
    return Call(text, (workflow,), first_of(Run))


def steps(workflow: UUID, *, limit: int = 10_000) -> Call[Sequence[Step]]:
    """The steps of a workflow, in order."""
    text = (
        f"select {STEP_COLUMNS} from {{schema}}.steps where workflow = cast($1 as uuid) "
        "order by place limit cast($2 as int)"
    )
    return Call(text, (workflow, limit), rows_of(Step))


def ids_ending(text: str, *, newest: int) -> Call[Sequence[UUID]]:
    """Which of the newest workflows have an id that ends so: five at most."""
    statement = (
        "select id from (select id from {schema}.workflows order by id desc "
        "limit cast($1 as int)) w "
        "where right(cast(id as text), length(cast($2 as text))) = cast($3 as text) limit 5"
    )
    low = text.lower()
    return Call(statement, (newest, low, low), lambda rows: [row[0] for row in rows])


def cancel(workflow: UUID) -> Call[bool]:
    """Cancel what waits, have what runs stopped, start nothing more; False if it has ended."""
    return function("cancel_workflow", "cancel_workflow", one_bool, id=("uuid", workflow))


def retry(workflow: UUID, *, whole: bool = False) -> Call[int]:
    """Try it again, from the jobs that failed on, or the whole; gives how many jobs came back."""
    return function(
        "retry_workflow",
        "retry_workflow",
        one_int,
        id=("uuid", workflow),
        whole=("boolean", whole),
    )


def rank(workflow: UUID, priority: int) -> Call[int]:
    """Give its waiting jobs, and later ones, this priority; gives how many were ranked anew."""
    return function(
        "rank_workflow",
        "rank_workflow",
        one_int,
        id=("uuid", workflow),
        priority=("int", priority),
    )


def put_pipeline(
    name: str, version: str, order: int, steps: Sequence[str | Mapping[str, Any]]
) -> Call[None]:
    """Keep a pipeline: steps in a row, each a task name or a dict; see howdah.put_pipeline."""
    return function(
        "put_pipeline",
        "put_pipeline",
        nothing,
        name=("text", name),
        version=("text", version),
        **{'"order"': ("int", order)},
        steps=("jsonb", msgspec.json.encode(steps).decode()),
    )


def start_request(
    pipelines: Sequence[str | Mapping[str, Any]],
    args: Mapping[str, Any] | None = None,
    *,
    priority: int | None = None,
    name: str | None = None,
) -> Call[UUID]:
    """Start pipelines, order by order; gives the id of the request, which is a workflow."""
    return function(
        "start_request",
        "start_request",
        scalar,
        pipelines=("text", msgspec.json.encode(pipelines).decode()),
        args=("jsonb", msgspec.json.encode(args or {}).decode()),
        priority=("int", priority),
        name=("text", name),
    )


def add_to_request(request: UUID, pipelines: Sequence[str | Mapping[str, Any]]) -> Call[None]:
    """Add pipelines to a request that runs; Conflict for what comes too late."""
    return function(
        "add_to_request",
        "add_to_request",
        nothing,
        id=("uuid", request),
        pipelines=("jsonb", msgspec.json.encode(pipelines).decode()),
    )
