"""A call is a value: which statement, with what, how to read the rows. A client runs it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Row = Sequence[Any]
_PLACEHOLDER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """Something to be asked of the store.

    `text` holds `{schema}` and the placeholders $1, $2 … each once and in order; `read` turns the
    rows (sequences, in the order of the columns) into the answer.
    """

    text: str
    values: tuple[Any, ...]
    read: Callable[[Sequence[Row]], T_co]

    def render(self, schema: str, placeholder: Callable[[int], str] | None = None) -> str:
        """The statement for this schema, with the placeholders as a driver wants them."""
        return _rendered(self.text, schema, placeholder)


def function(
    name: str,
    columns: str,
    read: Callable[[Sequence[Row]], T],
    /,
    **params: tuple[str, Any],
) -> Call[T]:
    """Call a function of the contract: each parameter is given as name=(type, value)."""
    types = tuple((key, kind) for key, (kind, _) in params.items())
    values = tuple(value for _, value in params.values())
    return Call(_function_text(name, columns, types), values, read)


def given(**params: tuple[str, Any]) -> dict[str, tuple[str, Any]]:
    """Those that say something: NULL and false are what the function takes for the others."""
    return {
        name: (kind, value)
        for name, (kind, value) in params.items()
        if not (value is None or value is False)
    }


@lru_cache(maxsize=256)
def _function_text(name: str, columns: str, types: tuple[tuple[str, str], ...]) -> str:
    named = ", ".join(f"{key} => {_cast(n, kind)}" for n, (key, kind) in enumerate(types, 1))
    return f"select {columns} from {{schema}}.{name}({named})"


def _cast(n: int, kind: str) -> str:
    """JSON goes as text: a caller's connection may have a codec that would encode it once more.

    `uuid[1]` is an array of the one value that is given: asyncpg asks a new connection for what it
    knows of `uuid[]`, which costs more than all else.
    """
    if kind.endswith("[1]"):
        return f"array[{_cast(n, kind.removesuffix('[1]'))}]"
    if kind.startswith("jsonb"):
        return f"cast(cast(${n} as {kind.replace('jsonb', 'text')}) as {kind})"
    return f"cast(${n} as {kind})"


@lru_cache(maxsize=1024)
def _rendered(text: str, schema: str, placeholder: Callable[[int], str] | None) -> str:
    text = text.replace("{schema}", schema)
    if placeholder is None:
        return text
    return _PLACEHOLDER.sub(lambda match: placeholder(int(match[1])), text)


def nothing(_: Sequence[Row]) -> None:
    """For calls that answer nothing."""


def scalar(rows: Sequence[Row]) -> Any:
    """The only column of the only row; None when there is no row."""
    return rows[0][0] if rows else None


def one_bool(rows: Sequence[Row]) -> bool:
    """The only column of the only row, as a truth."""
    return bool(rows[0][0])


def one_int(rows: Sequence[Row]) -> int:
    """The only column of the only row, as a number."""
    return int(rows[0][0])


def rows_of(make: Callable[..., T]) -> Callable[[Sequence[Row]], list[T]]:
    """Reads each row by giving its columns to `make`."""

    def read(rows: Sequence[Row]) -> list[T]:
        return [make(*row) for row in rows]

    return read


def first_of(make: Callable[..., T]) -> Callable[[Sequence[Row]], T | None]:
    """Reads the first row, if there is one."""

    def read(rows: Sequence[Row]) -> T | None:
        return make(*rows[0]) if rows else None

    return read
