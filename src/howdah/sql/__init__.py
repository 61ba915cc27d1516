"""The SQL files as they are installed: the schema names come from one setting, put in here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from howdah.errors import BadInput

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,50}")
_QUALIFIED = re.compile(r"\b(_?)howdah\.")

BOOTSTRAP = """\
create schema if not exists {schema};
create schema if not exists _{schema};
create table if not exists _howdah.migration (
    number      int primary key,
    name        text not null,
    applied_at  timestamptz not null default pg_catalog.now()
);
create table if not exists _howdah.unfinished (
    version  int not null  -- of which functions and views still are
);
"""
KEY_WORDS = frozenset(  # pg_get_keywords(): all but the unreserved ones
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
    boolean both case cast char character check coalesce collate collation column concurrently
    constraint create cross current_catalog current_date current_role current_schema
    current_time current_timestamp current_user dec decimal default deferrable desc distinct do
    else end except exists extract false fetch float for foreign freeze from full grant greatest
    group grouping having ilike in initially inner inout int integer intersect interval into is
    isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query
    json_scalar json_serialize json_table json_value lateral leading least left like limit
    localtime localtimestamp merge_action national natural nchar none normalize not notnull null
    nullif numeric offset on only or order out outer overlaps overlay placing position precision
    primary real references returning right row select session_user setof similar smallint some
    substring symmetric system_user table tablesample then time timestamp to trailing treat trim
    true union unique user using values varchar variadic verbose when where window with
    xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot
    xmlserialize xmltable
    """.split()  # noqa: SIM905
)
# A script runs alone, and only over the version that it was printed for: over an older one it would
# leave out what lies between.
BEGINS_AT = """\
do $$
declare
    installed  int;
begin
    perform pg_advisory_xact_lock(hashtext('{schema}'), hashtext('howdah migrate'));
    installed := (select coalesce(max(m.number), 0) from _howdah.migration m);
    if installed <> {from_version} then
        raise exception 'schema {schema} is at %, this script begins at {from_version}', installed
        using hint = format('Print it anew: howdah db sql --from %s', installed);
    end if;
end $$;
"""
# Functions of ours as an earlier version had them, with other parameters: beside the new ones,
# every call that leaves a parameter to its default would be ambiguous. What this transaction
# defined (or a savepoint of it) is no older than itself; other names are not ours to drop.
DROP_OLD_OVERLOADS = """\
do $$
declare
    signature  text;
begin
    for signature in
        with ours as (
            select p.oid, p.pronamespace, p.proname, age(p.xmin) <= 0 as is_new
            from pg_proc p
            where p.pronamespace in ('{schema}'::regnamespace, '_{schema}'::regnamespace))
        select o.oid::regprocedure::text from ours o
        where not o.is_new and exists (
            select from ours n
            where n.is_new and n.pronamespace = o.pronamespace and n.proname = o.proname)
    loop
        execute 'drop function ' || signature;
    end loop;
end $$;
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
    if schema in KEY_WORDS:
        raise BadInput(
            f"{schema!r} is a key word of SQL and cannot be a schema name",
            hint=f"Use another name, for example {schema}_jobs.",
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
