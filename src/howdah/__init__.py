"""Howdah: a job queue that rides on PostgreSQL."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from howdah import (
        cursors,
        errors,
        events,
        jobs,
        limits,
        listeners,
        queues,
        schedules,
        store,
        workers,
        workflows,
    )
    from howdah.app import App
    from howdah.client import AsyncClient, Client
    from howdah.context import Context, current
    from howdah.doors import on
    from howdah.errors import (
        BadArguments,
        BadInput,
        BadItem,
        CommitUncertain,
        Conflict,
        DatabaseError,
        Denied,
        HowdahError,
        JobCancelled,
        JobFailed,
        LeaseLost,
        NoDatabase,
        NotFound,
        ReadOnly,
        SchemaMismatch,
        TooLarge,
        UnknownTask,
        WorkerUnknown,
    )
    from howdah.job import Job, Options
    from howdah.outcome import Cancel, Fail, Snooze
    from howdah.receiving import receive
    from howdah.references import gather, outcomes, result
    from howdah.retry import Retry
    from howdah.task import Task
    from howdah.workflow import Workflow

__all__ = [
    "App",
    "AsyncClient",
    "BadArguments",
    "BadInput",
    "BadItem",
    "Cancel",
    "Client",
    "CommitUncertain",
    "Conflict",
    "Context",
    "DatabaseError",
    "Denied",
    "Fail",
    "HowdahError",
    "Job",
    "JobCancelled",
    "JobFailed",
    "LeaseLost",
    "NoDatabase",
    "NotFound",
    "Options",
    "ReadOnly",
    "Retry",
    "SchemaMismatch",
    "Snooze",
    "Task",
    "TooLarge",
    "UnknownTask",
    "WorkerUnknown",
    "Workflow",
    "current",
    "cursors",
    "errors",
    "events",
    "gather",
    "jobs",
    "limits",
    "listeners",
    "on",
    "outcomes",
    "queues",
    "receive",
    "result",
    "schedules",
    "store",
    "workers",
    "workflows",
]

_HOMES = {
    "App": "app",
    "AsyncClient": "client",
    "Client": "client",
    "on": "doors",
    "Context": "context",
    "current": "context",
    "Job": "job",
    "Options": "job",
    "Cancel": "outcome",
    "Fail": "outcome",
    "Snooze": "outcome",
    "Retry": "retry",
    "Task": "task",
    "receive": "receiving",
    "Workflow": "workflow",
    "gather": "references",
    "outcomes": "references",
    "result": "references",
}
_MODULES = (
    "cursors", "errors", "events", "jobs", "limits", "listeners", "queues", "schedules", "store",
    "workers", "workflows",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """Each name is imported when it is first used, so that the command line starts at once."""
    if name not in __all__:
        raise AttributeError(f"module 'howdah' has no attribute {name!r}")
    if name in _MODULES:
        return import_module(f"howdah.{name}")
    found = getattr(import_module(f"howdah.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
