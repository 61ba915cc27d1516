"""What becomes of a job that waits elsewhere: pure, apart from knowing which tasks there are."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from howdah.arguments import encode
from howdah.durations import TEN_YEARS
from howdah.errors import BadInput
from howdah.importing.sources import Waiting
from howdah.job import Job, check_task_name, make_options
from howdah.retry import Retry
from howdah.task import Task

PAYLOADS = ("json", "text", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How another system's jobs become ours.

    Attributes:
        tasks: names here by names there, where they differ.
        queues: the same of queues.
        leave: tasks, as they are named there, whose jobs are not touched.
        payloads: how bytes become arguments, by task as named there, "" for all others: "json" (an
            object's members), "text" or "bytes" (the argument `payload`; bytes travel as base64).
        tags: to find the jobs by.
        undeclared: whether jobs of tasks may come that nobody has declared.
        known: the tasks of an App, which check the arguments.
        declared: what workers have declared: how many attempts a job gets, by task.
    """

    tasks: Mapping[str, str] = field(default_factory=dict)
    queues: Mapping[str, str] = field(default_factory=dict)
    leave: frozenset[str] = frozenset()
    payloads: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    undeclared: bool = False
    known: Mapping[str, Task[..., Any]] = field(default_factory=dict)
    declared: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        if strange := {*self.payloads.values()} - {*PAYLOADS}:
            raise BadInput(
                f"a payload cannot be read as {min(strange)!r}",
                hint=f"It is one of {', '.join(PAYLOADS)}.",
            )

    def name(self, there: str) -> str:
        """What a task is called here."""
        return self.tasks.get(there, there)

    def job(self, waiting: Waiting, system: str, job_id: UUID | None = None) -> Job:
        """The job as it is enqueued here. Raises BadInput for what cannot be."""
        name = check_task_name(self.name(waiting.task))
        known = self.known.get(name)
        if known is None and name not in self.declared and not self.undeclared:
            raise BadInput(f"nobody has declared a task {name}")
        if waiting.run_at is not None and waiting.run_at > datetime.now(UTC) + _FURTHEST:
            raise BadInput("it is due in more than ten years")
        text = _arguments(name, waiting.args, self.payloads.get(waiting.task, self._otherwise))
        origin = {"from": system, "id": waiting.id, "attempts": waiting.attempts}
        options: dict[str, Any] = {
            "queue": None if waiting.queue is None else self._queue(waiting.queue),
            "priority": waiting.priority,
            "run_at": waiting.run_at,
            "max_attempts": self._attempts_left(name, waiting.attempts),
            "id": job_id,
            "unique_key": waiting.unique_key,
            "headers": {**waiting.headers, "imported": origin},
            "tags": self.tags or None,
            **waiting.keys,
        }
        if known is None:
            return Job(name, text, make_options(**options))
        return msgspec.structs.replace(known.options(**options).job_of(text), task=name)

    @property
    def _otherwise(self) -> str:
        return self.payloads.get("", "json")

    def _queue(self, there: str) -> str:
        return self.queues.get(there, there)

    def _attempts_left(self, name: str, spent: int) -> int | None:
        """What is left of the task's attempts, one at least; None: none was spent."""
        if not spent:
            return None
        known = self.known.get(name)
        retry = Retry() if known is None else known.retry
        return max(1, self.declared.get(name, retry.max_attempts) - spent)


_FURTHEST = timedelta(seconds=TEN_YEARS)


def _arguments(task: str, given: str | bytes, how: str) -> str:
    """The JSON object of the arguments. Raises BadInput."""
    if isinstance(given, bytes):
        if how == "bytes":
            return encode(task, {"payload": base64.b64encode(given).decode()}).decode()
        try:
            given = given.decode()
        except UnicodeDecodeError as error:
            raise BadInput(f"its payload is no {how}, but bytes") from error
        if how == "text":
            return encode(task, {"payload": given}).decode()
        given = given or "{}"
    try:
        value = msgspec.json.decode(given)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput("its payload is no JSON") from error
    if not isinstance(value, dict):
        raise BadInput("its arguments are no JSON object")
    encode(task, value)
    return given
