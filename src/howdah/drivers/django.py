"""Django's connection: inside atomic() a job commits, or rolls back, with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from howdah.call import Row
from howdah.drivers import Driver
from howdah.drivers.plain import plain


def _run(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    with connection.cursor() as cursor:
        cursor.execute(text, plain(values))
        rows: Sequence[Row] = cursor.fetchall()
        return rows


DRIVER = Driver(is_async=False, run=_run, placeholder=lambda _: "%s")
