"""The SQL files as they are installed: the schema names come from one setting, put in here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from howdah.errors import BadInput

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,50}")
_QUALIFIED = re.compile(r"\b(_?)howdah\.")

SCHEMA = "howdah"  # as the files have it
BOOTSTRAP = """\
create schema if not exists {schema};
create schema if not exists _{schema};
create table if not exists _howdah.migration (
    number      int primary key,
    name        text not null,
    applied_at  timestamptz not null default pg_catalog.now()
);
"""
CLOSE = "revoke execute on all functions in schema {schema}, _{schema} from public;\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered step of the store; forward only."""

    number: int
    name: str
    text: str

    @property
    def label(self) -> str:
        """Number and name, as the file has them."""
        return f"{self.number:04}_{self.name}"


def check_schema(schema: str) -> str:
    """The schema name, if it may be one: lower case letters, digits, underscores, at most 51."""
    if not _NAME.fullmatch(schema) or schema.startswith(("pg_", "_")):
        raise BadInput(
            f"{schema!r} cannot be a schema name",
            hint="Use lower case letters, digits and underscores, beginning with a letter.",
        )
    return schema


def named(text: str, schema: str) -> str:
    """The text with `howdah.` and `_howdah.` replaced by the two schemas of this installation."""
    return _QUALIFIED.sub(rf"\g<1>{schema}.", text).replace("{schema}", schema)


def migrations() -> list[Migration]:
    """All migrations in their order."""
    found = []
    for file in files(__name__).joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            number, name = file.name.removesuffix(".sql").split("_", 1)
            found.append(Migration(number=int(number), name=name, text=file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def functions() -> Iterator[str]:
    """Every function and view, in an order in which they can be created; re-applied as a whole."""
    for folder in ("functions", "views"):
        for file in sorted(files(__name__).joinpath(folder).iterdir(), key=lambda f: f.name):
            if file.name.endswith(".sql"):
                yield file.read_text("utf-8")
