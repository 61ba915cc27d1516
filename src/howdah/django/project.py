"""The App of a Django project: its jobs are enqueued on Django's own connection."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from howdah.app import App
from howdah.call import Call
from howdah.client import AsyncClient, Client
from howdah.django import conf
from howdah.django.care import cared_for
from howdah.doors import on
from howdah.job import Job
from howdah.settings import Settings, load
from howdah.stream import BATCH, Progress, stream
from howdah.task import Task

T = TypeVar("T")


class DjangoApp(App):
    """An App whose settings are Django's, and whose verbs run on Django's connection.

    So a job that is enqueued inside `atomic()` is there when that commits, and only then; no
    on_commit is needed. What is awaited runs, as Django's own async verbs do, in Django's thread.
    Only `result`, which waits, has connections of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, Any] | None = None
        self._is_told = False
        self._on_django = OnDjango(self)

    @property
    def settings(self) -> Settings:
        """By Django's settings; read anew when those change, as for a test database."""
        if not self._is_told and (said := conf.arguments()) != self._said:
            self._said, self._settings, self._client = said, load(said).settings, None
        assert self._settings is not None
        return self._settings

    def use(self, settings: Settings) -> None:
        """Take these settings instead; before the first connection."""
        self._is_told = True
        super().use(settings)

    @property
    def client(self) -> AsyncClient:
        """The client whose connections `result` waits on."""
        _ = self.settings  # which may have changed, and the client with them
        return super().client

    @property
    def sync_client(self) -> Client:
        """Runs Calls on Django's connection of the thread."""
        return self._on_django

    async def run(self, call: Call[T]) -> T:
        """Run a call on Django's connection: `await app.run(jobs.cancel(job_id))`."""
        return await sync_to_async(self._on_django.run)(call)

    async def enqueue_stream(
        self,
        many: Iterable[Job] | AsyncIterable[Job],
        *,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> int:
        """Store any number of jobs on Django's connection; gives how many."""
        return await stream(self.run, many, batch=batch, progress=progress, in_own_task=False)

    def _add(self, task: Task[..., Any]) -> Task[..., Any]:
        task.body = cared_for(task.function)
        return super()._add(task)


class OnDjango(Client):
    """Runs Calls on Django's connection of the thread, in whatever transaction it is in."""

    def __init__(self, app: DjangoApp) -> None:
        self._app = app

    @property
    def settings(self) -> Settings:  # type: ignore[override]
        """Those of the app."""
        return self._app.settings

    def run(self, call: Call[T]) -> T:
        """Run a call; raises our errors for what the store refuses."""
        answer: T = on(conf.connection(), schema=conf.schema()).run(call)
        return answer

    def close(self) -> None:
        """The connection is Django's to close."""


app = DjangoApp()
