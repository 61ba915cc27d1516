"""How data are shown: a table on a terminal, aligned text elsewhere, JSON when asked."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import click
import msgspec

from howdah.durations import written
from howdah.printable import printable, printable_json

T = TypeVar("T")
WIDE = 120  # columns: room for whole ids
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
JSON_TEXTS = {
    "args",
    "cursor",
    "result",
    "headers",
    "options",
    "parameters",
    "progress",
}  # fields that hold JSON as text
LONGEST_CELL = 60  # characters of a table; --json has it all
STATE_STYLES = {"succeeded": "green", "failed": "red", "running": "cyan", "scheduled": "yellow"}


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A title, and what stands under it for each thing; numbers are aligned to the right."""

    title: str
    cell: Callable[[T], object]
    right: bool = False


def listed(things: Sequence[T], columns: Sequence[Column[T]], *, as_json: bool) -> None:
    """A list, to stdout."""
    if as_json:
        document([plain(thing) for thing in things])
        return
    rows = [[_cell(column.cell(thing)) for column in columns] for thing in things]
    if is_fancy():
        _rich_table(rows, columns)
    else:
        _plain_table(rows, columns)


def facts(pairs: Mapping[str, object]) -> None:
    """One thing, as names and values; values with lines of their own are indented."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        text = printable(_text(value), lines=True)
        first, *rest = text.splitlines() or [""]
        label = click.style(f"{name:<{width}}", bold=True) if is_fancy() else f"{name:<{width}}"
        click.echo(f"{label}  {first}".rstrip())
        for line in rest:
            click.echo(f"{'':<{width}}  {line}")


def document(value: object) -> None:
    """One JSON document, to stdout."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    click.echo(printable_json(text.decode()))


def said(text: str) -> None:
    """A line for people, to stderr."""
    click.echo(printable(text), err=True)


def plain(thing: Any) -> Any:
    """A thing as JSON has it: moments in ISO 8601 and UTC, durations in seconds."""
    if isinstance(thing, msgspec.Struct):
        values = msgspec.structs.asdict(thing)
        return {name: _member(name, value) for name, value in values.items()}
    if is_dataclass(thing) and not isinstance(thing, type):
        return {
            field.name: _member(field.name, getattr(thing, field.name)) for field in fields(thing)
        }
    if isinstance(thing, Mapping):
        return {str(name): plain(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(value) for value in thing]
    return _scalar(thing)


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _member(name: str, value: Any) -> Any:
    if name in JSON_TEXTS and isinstance(value, str):
        return msgspec.Raw(value.encode())
    return plain(value)


def moment(when: datetime | None) -> str | None:
    """A moment in ISO 8601, UTC."""
    return None if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(when: datetime | None) -> str:
    """How long ago a moment was, or in how long it will be, for people."""
    if when is None:
        return ""
    past = (datetime.now(UTC) - when).total_seconds()
    if abs(past) < 1:
        return "now"
    return f"{written(past)} ago" if past > 0 else f"in {written(-past)}"


def is_fancy() -> bool:
    """Whether stdout is for people: a terminal, or FORCE_COLOR says so."""
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, timedelta):
        return written(value.total_seconds())
    if isinstance(value, datetime):
        return f"{moment(value)} ({ago(value)})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _cell(value: object) -> str:
    text = ago(value) if isinstance(value, datetime) else printable(_text(value))
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _plain_table(rows: Sequence[Sequence[str]], columns: Sequence[Column[T]]) -> None:
    lines = [[column.title for column in columns], *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    for line in lines:
        cells = (
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _short(text: str) -> str:
    return f"…{text[-12:]}" if _ID.fullmatch(text) else text


def _rich_table(rows: Sequence[Sequence[str]], columns: Sequence[Column[T]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if console.width < WIDE:  # the ends of ids are enough to go on with
        rows = [[_short(text) for text in row] for row in rows]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        whole = column.title in {"id", "state"}  # to be copied, and to be seen
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=whole)
    for row in rows:
        table.add_row(*(Text(text, style=STATE_STYLES.get(text, "")) for text in row))
    console.print(table)
