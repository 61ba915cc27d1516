"""`howdah config`: each setting, and where it came from."""

from __future__ import annotations

from dataclasses import fields

import click

from howdah.cli import show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.settings import Settings, load, without_password

URLS = {"database_url", "listen_url"}
Line = tuple[str, object, str]

COLUMNS: list[Column[Line]] = [
    Column("setting", lambda line: line[0]),
    Column("value", lambda line: "" if line[1] is None else line[1]),
    Column("source", lambda line: line[2]),
]


@click.command("config")
@json_option
def command(as_json: bool) -> None:
    """Each setting, its value (without passwords) and where it came from."""
    loaded = load()
    lines = [
        (field.name, _value(loaded.settings, field.name), loaded.sources[field.name])
        for field in fields(Settings)
    ]
    if as_json:
        show.document({name: {"value": value, "source": source} for name, value, source in lines})
    else:
        show.listed(lines, COLUMNS, as_json=False)


def _value(settings: Settings, name: str) -> object:
    value = getattr(settings, name)
    return without_password(value) if name in URLS and value else value
