"""Howdah: a job queue that rides on PostgreSQL."""

from howdah.app import App
from howdah.client import AsyncClient, Client, on
from howdah.context import Context, current
from howdah.errors import (
    BadArguments,
    BadInput,
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
from howdah.outcome import Cancel, Snooze
from howdah.retry import Retry
from howdah.task import Task

__all__ = [
    "App",
    "AsyncClient",
    "BadArguments",
    "BadInput",
    "Cancel",
    "Client",
    "Conflict",
    "Context",
    "DatabaseError",
    "Denied",
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
    "current",
    "on",
]
