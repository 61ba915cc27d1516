"""`howdah tasks list`: tasks that workers declared."""

from __future__ import annotations

import click
import msgspec

from howdah import store
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.store import Declared


def _parameters(task: Declared) -> str:
    """The names of its arguments; those that may be left out stand in brackets."""
    schema = msgspec.json.decode(task.parameters) if task.parameters else {}
    model = next(iter(schema.get("$defs", {}).values()), schema)
    required = set(model.get("required", ()))
    names = sorted(model.get("properties", {}), key=lambda name: name not in required)
    return ", ".join(name if name in required else f"[{name}]" for name in names)


COLUMNS: list[Column[Declared]] = [
    Column("task", lambda task: task.name),
    Column("arguments", _parameters),
    Column("queue", lambda task: task.queue),
    Column("priority", lambda task: task.priority, right=True),
    Column("attempts", lambda task: task.max_attempts, right=True),
    Column("timeout", lambda task: task.timeout or "none", right=True),
    Column("declared", lambda task: task.declared_at),
]


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """Tasks that workers declared, with how their jobs are run."""
    declared = database.ask(store.tasks())
    show.listed(declared, COLUMNS, as_json=as_json)
