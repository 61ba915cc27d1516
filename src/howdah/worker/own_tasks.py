"""The task that is Howdah's own, and known to each worker beside the app's: it calls URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from howdah.declaring import declare
from howdah.retry import Retry
from howdah.task import Task
from howdah.urls import HTTP, TIMEOUT


class _Nobody:
    """The app of a task that is Howdah's own: its jobs are made elsewhere."""

    async def enqueue(self, job: Any, /) -> UUID:
        raise NotImplementedError

    def enqueue_sync(self, job: Any, /) -> UUID:
        raise NotImplementedError

    async def enqueue_stream(self, many: Any, /, **_: Any) -> int:
        raise NotImplementedError

    def enqueue_stream_sync(self, many: Any, /, **_: Any) -> int:
        raise NotImplementedError


async def _http(method: str = "GET", *, url: str, **options: Any) -> None:
    """Call a URL."""


def with_http(tasks: Mapping[str, Task[..., Any]]) -> dict[str, Task[..., Any]]:
    """The tasks, and Howdah's own that calls URLs."""
    task = declare(_Nobody(), _http, name=HTTP, queue=HTTP, retry=Retry(), timeout=TIMEOUT)
    task.executor = "http"
    return {**tasks, HTTP: task}
