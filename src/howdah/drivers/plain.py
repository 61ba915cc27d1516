"""Values for drivers that may not know UUIDs: every statement casts, so text does as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID


def plain(values: Sequence[Any]) -> list[Any]:
    """The values with UUIDs as text, also in lists."""
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
