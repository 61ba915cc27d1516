"""Compares the schema that is installed with what this version would install.

The truth is made rather than written down: this version is installed under a scratch name, in a
transaction that is rolled back, and the two are compared by the catalogue's own words. So there is
no list of fingerprints that could go stale, on any server version.
"""

from __future__ import annotations

import os
import re
from typing import Any

from howdah.grants import grant_statements
from howdah.migrate import install, status

_DAYS = r"_\d{8}$"

_CATALOGUE = {
    "function": """
        select p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
               pg_get_functiondef(p.oid) || coalesce((
                   select string_agg('granted to public', '')
                   from aclexplode(p.proacl) a where a.grantee = 0), '')
        from pg_proc p where p.pronamespace = to_regnamespace($1) and p.prokind = 'f'""",
    "view": """
        select c.relname, pg_get_viewdef(c.oid) from pg_class c
        where c.relnamespace = to_regnamespace($1) and c.relkind = 'v'""",
    "index": """
        select c.relname,
               pg_get_indexdef(c.oid) || case when i.indisvalid then '' else ' (invalid)' end
        from pg_class c
        join pg_index i on i.indexrelid = c.oid join pg_class t on t.oid = i.indrelid
        where c.relnamespace = to_regnamespace($1) and t.relname !~ $2""",
    "column": """
        select c.relname || '.' || a.attname,
               concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                         case when a.attnotnull then 'not null' end,
                         pg_get_expr(d.adbin, d.adrelid))
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = to_regnamespace($1) and c.relkind in ('r', 'p', 'v', 'c')
          and a.attnum > 0 and not a.attisdropped and c.relname !~ $2""",
    "constraint": """
        select c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
        from pg_constraint k join pg_class c on c.oid = k.conrelid
        where c.relnamespace = to_regnamespace($1) and c.relname !~ $2
          and k.contype in ('c', 'p', 'u', 'f')""",
    "trigger": """
        select c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = to_regnamespace($1) and not t.tgisinternal""",
    "table": """
        select c.relname, concat_ws(' ', c.relkind::text, array_to_string(c.reloptions, ' '))
        from pg_class c
        where c.relnamespace = to_regnamespace($1) and c.relkind in ('r', 'p', 'S')
          and c.relname !~ $2""",
}  # fmt: skip


async def check(connection: Any, schema: str) -> list[str]:
    """What differs from what this version needs, as sentences; empty when all is well.

    Needs the right to create schemas, as the owner has; what it creates is rolled back. Grants that
    were made by `howdah db grant` are checked too.
    """
    found = await status(connection, schema)
    if not found.is_current:
        return [f"the schema {schema} is at {found.version}, this version needs {found.newest}"]
    scratch = f"howdah_check_{os.getpid()}"
    transaction = connection.transaction()
    await transaction.start()
    try:
        await install(connection, scratch)
        await connection.execute(
            "set local search_path = pg_catalog"
        )  # so that all names come qualified
        problems = []
        for kind in _CATALOGUE:
            needed = await _described(connection, kind, scratch, named=schema)
            there = await _described(connection, kind, schema, named=schema)
            problems += _differences(kind, needed, there)
        return problems + await _missing_grants(connection, schema)
    finally:
        await transaction.rollback()


async def _described(connection: Any, kind: str, schema: str, *, named: str) -> dict[str, str]:
    """Each object of a kind in both schemas, with its definition, as if the schema had that name.

    The name of an installation may be any word of its definitions; the scratch name is none.
    """
    described = {}
    values = [_DAYS] if "$2" in _CATALOGUE[kind] else []
    for prefix in ("", "_"):
        for name, text in await connection.fetch(_CATALOGUE[kind], prefix + schema, *values):
            plain = re.sub(rf"\b(_?){schema}\b", rf"\g<1>{named}", f"{name}\x00{text}")
            key, _, definition = plain.partition("\x00")
            described[f"{prefix}{named}.{key}"] = definition
    return described


def _differences(kind: str, needed: dict[str, str], there: dict[str, str]) -> list[str]:
    missing = [
        f"{kind} {name} is missing"
        + (f"; make it again: {needed[name]}" if kind == "index" else "")
        for name in sorted(needed.keys() - there.keys())
    ]
    changed = [
        f"{kind} {name} is not as this version makes it"
        for name in sorted(needed.keys() & there.keys())
        if needed[name] != there[name]
    ]
    extra = [
        f"{kind} {name} is not part of this version"
        for name in sorted(there.keys() - needed.keys())
        if kind in {"function", "trigger"}
    ]
    return missing + changed + extra


async def _missing_grants(connection: Any, schema: str) -> list[str]:
    problems = []
    for role, kind in await connection.fetch(
        f"select role, kind from _{schema}.granted order by 1, 2"
    ):
        if not await connection.fetchval(
            "select exists (select from pg_roles where rolname = $1)", role
        ):
            problems.append(f"role {role}, granted as {kind}, does not exist any more")
            continue
        lacking = [
            statement
            for statement in (text.format(schema=schema) for text in grant_statements(role, kind))
            if not await _is_granted(connection, statement)
        ]
        problems += [f"role {role}, granted as {kind}, lacks: {text}" for text in lacking]
    return problems


async def _is_granted(connection: Any, statement: str) -> bool:
    """Whether a grant statement would change nothing; asked of the catalogue, not tried."""
    match = re.fullmatch(r'grant (\w+) on (schema|function)? ?(.+) to "(.+)"', statement)
    assert match is not None, statement
    privilege, kind, names, role = match.groups()
    role = role.replace('""', '"')
    for name in re.split(r", (?![^(]*\))", names):  # not between a function's parameters
        if kind == "schema":
            held = await connection.fetchval(
                "select has_schema_privilege($1, $2, $3)", role, name, privilege
            )
        elif kind == "function" and "(" in name:
            held = await connection.fetchval(
                "select has_function_privilege($1, to_regprocedure($2), $3)", role, name, privilege
            )
        elif kind == "function":  # an earlier version's of that name may lie beside it
            held = await connection.fetchval(
                "select bool_or(has_function_privilege($1, p.oid, $4)) from pg_proc p "
                "where p.pronamespace = to_regnamespace($2) and p.proname = $3",
                role, *name.split("."), privilege,
            )  # fmt: skip
        else:
            held = await connection.fetchval(
                "select has_table_privilege($1, to_regclass($2), $3)", role, name, privilege
            )
        if not held:  # NULL: it is missing
            return False
    return True
