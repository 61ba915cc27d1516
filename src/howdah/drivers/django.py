"""Django's connection: inside atomic() a job commits, or rolls back, with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.db import connections, transaction

from howdah.call import Row
from howdah.drivers import Driver
from howdah.drivers.plain import plain


def alias() -> str:
    """The name, in DATABASES, of the database that holds the jobs."""
    said = getattr(settings, "HOWDAH", {})
    found: str = next((said[name] for name in said if name.lower() == "database"), "default")
    return found


def close_old() -> None:
    """Close this thread's connections that are too old or broken; not those in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _run(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    with connection.cursor() as cursor:
        cursor.execute(text, plain(values))
        rows: Sequence[Row] = cursor.fetchall()
        return rows


def _script(connection: Any, text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


def _transaction(connection: Any) -> AbstractContextManager[Any]:
    within: AbstractContextManager[Any] = transaction.atomic(using=connection.alias)
    return within


DRIVER = Driver(
    is_async=False,
    run=_run,
    placeholder=lambda _: "%s",
    script=_script,
    transaction=_transaction,
)
