"""The systems that jobs come from: where their jobs stand, how one is read, and how it is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from howdah.errors import BadInput
from howdah.keys import Keyed


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A job that waits in another system, in our words.

    `args` is a JSON object as text, or, of a system whose jobs carry bytes, those.
    """

    id: int
    task: str
    args: str | bytes
    priority: int
    attempts: int
    queue: str | None = None
    run_at: datetime | None = None
    unique_key: str | None = None
    keys: Keyed = msgspec.field(default_factory=Keyed)
    headers: Mapping[str, object] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table of jobs of another system.

    Attributes:
        system: its name.
        schema, table: quoted, the table with its schema.
        needs: the columns that are read, by table.
        id, task: columns' names.
        waiting: the condition that a job waits to be run; `running` that it runs.
        others: conditions of jobs that are left where they are, by what is said of them.
        lock: the column whose equal values never run at once; None: there is none.
        columns: what `read` takes.
        take: the statement that takes the jobs with the ids $1 out of its workers' sight, and gives
            how many there were.
        hint: what to type where the tables are older than this knows.
    """

    system: str
    schema: str
    table: str
    needs: Mapping[str, Sequence[str]]
    task: str
    waiting: str
    running: str
    lock: str | None
    columns: str
    read: Callable[[Sequence[Any]], Waiting]
    take: str
    hint: str
    others: Mapping[str, str] = field(default_factory=dict)


def procrastinate(schema: str = "public") -> Source:
    """The jobs of procrastinate 3 in this schema; taken ones stay there, cancelled."""
    table = f"{_quoted(schema)}.procrastinate_jobs"
    return Source(
        system="procrastinate",
        schema=_quoted(schema),
        table=table,
        needs={
            table: (
                "id", "queue_name", "task_name", "priority", "lock", "queueing_lock", "args",
                "status", "scheduled_at", "attempts", "abort_requested",
            )
        },
        task="task_name",
        waiting="status = 'todo'",
        running="status = 'doing'",
        others={
            "run there just now": "status = 'doing'",
            "are its own housekeeping": "status = 'todo' and task_name like 'builtin:%'",
        },
        lock="lock",
        columns="id, task_name, args::text, priority, attempts, queue_name, "
        "case when scheduled_at > now() then scheduled_at end, lock, queueing_lock",
        read=_of_procrastinate,
        take=f"with taken as (update {table} set status = 'cancelled' "
        "where id = any($1::bigint[]) and status = 'todo' returning 1) select count(*) from taken",
        hint="Bring it up to date by the migrations of procrastinate 3.",
    )  # fmt: skip


def _of_procrastinate(row: Sequence[Any]) -> Waiting:
    job_id, task, args, priority, attempts, queue, run_at, lock, queueing_lock = row
    keys = Keyed()
    if lock is not None:
        keys["serial_key"] = lock
    if queueing_lock is not None:
        keys["unique_while"] = "waiting"
    return Waiting(
        id=job_id,
        task=task,
        args=args,
        priority=priority,
        attempts=attempts,
        queue=queue,
        run_at=run_at,
        unique_key=queueing_lock,
        keys=keys,
    )


def pgqueuer(schema: str = "public", prefix: str = "") -> Source:
    """The jobs of pgqueuer 1.x in this schema; taken ones are deleted there, and logged so."""
    table = f"{_quoted(schema)}.{_quoted(f'{prefix}pgqueuer')}"
    log = f"{_quoted(schema)}.{_quoted(f'{prefix}pgqueuer_log')}"
    return Source(
        system="pgqueuer",
        schema=_quoted(schema),
        table=table,
        needs={
            table: (
                "id", "priority", "status", "entrypoint", "payload", "execute_after", "dedupe_key",
                "headers", "attempts",
            ),
            log: ("job_id", "status", "entrypoint", "priority"),
        },
        task="entrypoint",
        waiting="status = 'queued'",
        running="status = 'picked'",
        others={
            "run there just now": "status = 'picked'",
            "have failed there and are held": "status = 'failed'",
        },
        lock=None,
        columns="id, entrypoint, payload, priority, attempts, "
        "case when execute_after > now() then execute_after end, dedupe_key, headers::text",
        read=_of_pgqueuer,
        take=f"with taken as (delete from {table} where id = any($1::bigint[]) "
        "and status = 'queued' returning id, entrypoint, priority), "
        f"logged as (insert into {log} (job_id, status, entrypoint, priority) "
        "select id, 'deleted', entrypoint, priority from taken returning 1) "
        "select count(*) from taken",
        hint="pgq install makes it, pgq upgrade brings an old one up to date.",
    )  # fmt: skip


def _of_pgqueuer(row: Sequence[Any]) -> Waiting:
    job_id, task, payload, priority, attempts, run_at, dedupe_key, headers = row
    found = msgspec.json.decode(headers) if headers else None
    return Waiting(
        id=job_id,
        task=task,
        args=payload or b"",
        priority=priority,
        attempts=attempts,
        run_at=run_at,
        unique_key=dedupe_key,
        headers=found if isinstance(found, dict) else {},
    )


def _quoted(name: str) -> str:
    """A name as SQL has it; raises BadInput for what can be none."""
    if not 1 <= len(name.encode("utf-8", "replace")) <= 63 or "\x00" in name:
        raise BadInput(f"{name!r} cannot be a name in the database")
    return '"' + name.replace('"', '""') + '"'
