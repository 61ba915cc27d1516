"""Django's own connection of the thread, inside atomic(); its settings say where that leads."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, TypeVar

from django.db import connections, transaction

from howdah.call import Call, scalar
from howdah.context import current
from howdah.drivers.django import alias, close_old
from howdah.errors import SchemaMismatch
from howdah.worker.connections import Kind, Transaction

T = TypeVar("T")
log = logging.getLogger("howdah.worker")


class Plain(Kind):
    """For plain functions."""

    async def open(self) -> Transaction:
        """The thread's own, opened by Django when it is first used."""
        close_old()
        return _Django(connections[alias()], self.settings.schema)


class _Django(Transaction):
    def __init__(self, connection: Any, schema: str) -> None:
        super().__init__(connection, schema)
        self._schema, self._atomic = schema, transaction.atomic(using=connection.alias)

    @property
    def is_lost(self) -> bool:
        below = self.connection.connection
        return below is None or bool(below.closed)

    async def begin(self) -> None:
        self._atomic.__enter__()
        there = await self.run(
            Call("select pg_catalog.to_regnamespace($1)", (self._schema,), scalar)
        )
        if there is None:
            there, named = self.connection.alias, self.connection.settings_dict["NAME"]
            raise SchemaMismatch(
                f"Django's {there} database, {named!r}, has no schema {self._schema}",
                hint="A job and its task's data commit together in one database only: let Django's "
                f"DATABASES[{there!r}] lead to the database of the jobs.",
            )

    async def run(self, call: Call[T]) -> T:
        result: T = self.door.run(call)
        return result

    async def commit(self) -> None:
        hooks, self.connection.run_on_commit = self.connection.run_on_commit, []
        self._atomic.__exit__(None, None, None)
        self.connection.run_on_commit = hooks
        try:
            self.connection.run_and_clear_commit_hooks()
        except Exception:  # what they do comes after the job's end: it is none of the commit's
            job = current()
            log.exception(
                "transaction.on_commit: a hook of %s has failed; the job has succeeded",
                "a job" if job is None else f"{job.task} {job.job_id}",
            )

    async def rollback(self) -> None:
        transaction.set_rollback(True, using=self.connection.alias)
        self._atomic.__exit__(None, None, None)

    async def give_back(self) -> None:
        close_old()

    async def drop(self) -> None:
        with suppress(Exception):  # inside atomic it may not be closed
            await self.rollback()
        with suppress(Exception):
            self.connection.close()
