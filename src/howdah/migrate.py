"""Installs and upgrades the schema, and compares what is installed with what this version needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from howdah import sql
from howdah.errors import BadInput, Conflict, Denied, HowdahError, NotFound, SchemaMismatch
from howdah.grants import FUNCTIONS, check_kind, grant_statements
from howdah.refusals import server_word, translated

NEWEST = max(migration.number for migration in sql.migrations())
_OLDEST_SERVER = 140000
# Operators and types are looked up in the catalogue alone, whatever the path of the migrating role.
_QUIETLY = (
    "set local search_path = pg_catalog, pg_temp; set local check_function_bodies = off;"
    " set local client_min_messages = warning;"
)
LONGEST = 86400.0  # seconds of one statement: an index on a large table takes its time
_BLOCKED = {"55P03", "40P01"}  # SQLSTATEs: a lock could not be had in time, or ever
_PATIENCE = 20  # tries to get a lock that somebody else holds, half a second each


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Which migrations are applied, and which this version would apply."""

    schema: str
    version: int
    newest: int
    pending: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether a worker of this version can use the schema."""
        return not self.pending and self.version == self.newest


async def status(connection: Any, schema: str) -> Status:
    """What is installed under this schema name, as far as it is finished; reads only."""
    sql.check_schema(schema)
    version = 0
    if await connection.fetchval("select to_regprocedure($1)", f"{schema}.schema_version()"):
        version = await connection.fetchval(f"select {schema}.schema_version()")  # all may ask it
    pending = [m.label for m in sql.migrations() if m.number > version]
    return Status(schema=schema, version=version, newest=NEWEST, pending=tuple(pending))


async def migrate(connection: Any, schema: str) -> list[str]:
    """Bring the schema to this version; gives the names of the migrations it applied.

    Idempotent, and safe when two do it at once. Waits for locks in short turns, so that nobody
    queues behind it for long. Raises SchemaMismatch when a newer version was here before.
    """
    sql.check_schema(schema)
    _check_server(connection)
    applied = [
        migration.label
        for migration in sql.migrations()
        if await _patiently(connection, partial(_apply, connection, schema, migration))
    ]
    await _patiently(connection, partial(_apply_functions, connection, schema))
    return applied


def script(schema: str, *, from_version: int = 0) -> str:
    """What a DBA would run, as one SQL script: all that is newer than `from_version`.

    It refuses to run where another version is installed.
    """
    sql.check_schema(schema)
    if from_version > NEWEST:
        raise BadInput(
            f"there is no version {from_version}: this package knows {NEWEST}",
            hint="Upgrade the howdah package, if that is what is installed.",
        )
    parts = ["begin;", "set local lock_timeout = '2s';", _QUIETLY, _bootstrap(schema)]
    parts.append(sql.named(sql.BEGINS_AT, schema).replace("{from_version}", str(from_version)))
    for migration in sql.migrations():
        if migration.number > from_version:
            parts += [
                f"-- migration {migration.label}",
                sql.named(migration.text, schema),
                _record(schema, migration),
            ]
    parts += _definitions(schema)
    parts += [
        sql.named(sql.DROP_OLD_OVERLOADS, schema),
        sql.CLOSE.format(schema=schema),
        f"delete from _{schema}.unfinished;",
        f"do $$ begin perform _{schema}.make_partitions(); end $$;",
        _grant_again(schema),
        "commit;",
    ]
    return "\n".join(parts) + "\n"


async def remove(connection: Any, schema: str) -> None:
    """Drop the schema with all jobs and their history, in the transaction of the connection.

    Raises Conflict when there are tables of somebody else's in it.
    """
    sql.check_schema(schema)
    foreign = await connection.fetchval(
        "select string_agg(relname, ', ' order by relname) from pg_class "
        "where relkind in ('r', 'p') and relnamespace = to_regnamespace($1)",
        schema,
    )
    if foreign:
        raise Conflict(
            f"the schema {schema} holds tables that are not howdah's: {foreign}",
            hint=f"Move each first: alter table {schema}.TABLE set schema public",
        )
    await connection.execute(f"drop schema if exists {schema}, _{schema} cascade")


async def grant(connection: Any, schema: str, role: str, kind: str) -> None:
    """Give a role what its kind needs: producer, worker, viewer or operator."""
    check_kind(kind)
    async with connection.transaction():
        await _lock(connection, schema)  # two cannot change the grants of one function at once
        if not await connection.fetchval(
            "select exists (select from pg_roles where rolname = $1)", role
        ):
            raise NotFound(
                f"there is no role {role!r}", hint=f'Create it first: create role "{role}"'
            )
        for statement in grant_statements(role, kind):
            await connection.execute(statement.format(schema=schema))
        await connection.execute(
            f"insert into _{schema}.granted (role, kind) values ($1, $2) on conflict do nothing",
            role,
            kind,
        )


def _check_server(connection: Any) -> None:
    server = connection.get_server_version()
    if server.major < _OLDEST_SERVER // 10000:
        raise SchemaMismatch(
            f"PostgreSQL {server.major} is too old", hint="Howdah needs PostgreSQL 14 or newer."
        )


async def _patiently(connection: Any, step: Callable[[], Any]) -> Any:
    """Run the step in a transaction of its own, again and again while a lock cannot be had."""
    pause = getattr(connection, "pause", asyncio.sleep)  # one that blocks has no loop
    for turn in range(_PATIENCE):
        try:
            async with connection.transaction():
                await connection.execute("set local lock_timeout = '2s'")
                return await step()
        except Exception as error:
            word = server_word(error)
            if word is None:
                raise
            if word.code in _BLOCKED:
                if turn == _PATIENCE - 1:
                    raise _given_up(word.message) from error
                await pause(0.5)
                continue
            known = translated(error)
            if isinstance(known, Denied):
                hint = "Migrate as the owner of the database, or who may create schemas in it."
                raise Denied(known.message, hint=hint) from error
            raise known or error from error
    raise HowdahError("unreachable")


def _given_up(why: str) -> Conflict:
    return Conflict(
        f"a migration could not have its lock, {_PATIENCE} times: {why}",
        hint="What was applied stays. Find the transaction that is open for long (howdah doctor "
        "names it), end it, and migrate again.",
    )


async def _lock(connection: Any, schema: str) -> None:
    """One migrator, or granter, at a time, for this schema."""
    await connection.execute("set local lock_timeout = 0")
    await connection.execute(
        "select pg_advisory_xact_lock(hashtext($1), hashtext('howdah migrate'))", schema
    )
    await connection.execute("set local lock_timeout = '2s'")


async def _apply(connection: Any, schema: str, migration: sql.Migration) -> bool:
    await _lock(connection, schema)
    await connection.execute(_bootstrap(schema))
    version = await connection.fetchval(f"select coalesce(max(number), 0) from _{schema}.migration")
    if version > NEWEST:
        raise SchemaMismatch(
            f"the schema is at {version}, this version knows {NEWEST}",
            hint="Upgrade the howdah package.",
        )
    if version >= migration.number:
        return False
    await connection.execute(_QUIETLY)
    await connection.execute(sql.named(migration.text, schema))
    await connection.execute(_record(schema, migration))
    return True


async def install(connection: Any, schema: str) -> None:
    """Install everything but the days of history, in the transaction that the connection is in."""
    await connection.execute(_QUIETLY)
    await connection.execute(_bootstrap(schema))
    for migration in sql.migrations():
        await connection.execute(sql.named(migration.text, schema))
    await _define(connection, schema)


async def _define(connection: Any, schema: str) -> None:
    await connection.execute(_QUIETLY)
    for text in (*_definitions(schema), sql.named(sql.DROP_OLD_OVERLOADS, schema)):
        await connection.execute(text)
    await connection.execute(sql.CLOSE.format(schema=schema))


async def _apply_functions(connection: Any, schema: str) -> None:
    await _lock(connection, schema)
    await _define(connection, schema)
    await connection.execute(f"delete from _{schema}.unfinished")
    await connection.execute(f"select _{schema}.make_partitions()")
    for row in await connection.fetch(
        f"select g.role, g.kind from _{schema}.granted g join pg_roles r on r.rolname = g.role"
    ):
        for statement in grant_statements(row["role"], row["kind"]):
            await connection.execute(statement.format(schema=schema))


def _grant_again(schema: str) -> str:
    """Whatever roles were granted, for a script: which those are, only the database knows."""
    loops = "".join(
        f"""\
    for granted in
        select g.role from _{schema}.granted g join pg_roles r on r.rolname = g.role
        where g.kind = '{kind}'
    loop
        execute format($grants$
{_grants(schema, kind)}$grants$, granted);
    end loop;
"""
        for kind in FUNCTIONS
    )
    return f"do $$\ndeclare\n    granted  text;\nbegin\n{loops}end $$;"


def _grants(schema: str, kind: str) -> str:
    """The statements, as one text in which format() puts the role."""
    statements = (text.format(schema=schema) for text in grant_statements("role", kind))
    return "".join(f"            {text};\n".replace('"role"', "%1$I") for text in statements)


def _bootstrap(schema: str) -> str:
    return sql.BOOTSTRAP.format(schema=schema).replace("_howdah.", f"_{schema}.")


def _record(schema: str, migration: sql.Migration) -> str:
    return (
        f"insert into _{schema}.migration (number, name) "
        f"values ({migration.number}, '{migration.name}'); "
        f"insert into _{schema}.unfinished values ({migration.number - 1});"
    )


def _definitions(schema: str) -> list[str]:
    return [sql.named(text, schema) for text in sql.functions()]
