"""Where a command's database comes from: the configured one, else the embedded PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import click

from howdah import embedded
from howdah.call import Call
from howdah.connect import NO_DATABASE_HINT, check_version, closed, open_connection
from howdah.doors import AsyncDoor, on
from howdah.errors import Denied, NoDatabase, SchemaMismatch
from howdah.migrate import LONGEST, migrate
from howdah.settings import Settings, load, project_root

T = TypeVar("T")


def configured() -> Settings:
    """The settings; those of the configured app, where nothing else says where the database is."""
    settings = load().settings
    if settings.database_url is None and settings.app is not None:
        from howdah.source import load_app

        return load_app(settings.app).settings
    return settings


def found(settings: Settings | None = None, *, make: bool = False) -> Settings:
    """Settings that say where the database is; an embedded server is started if one is needed.

    It dies with this process. Where there are no data yet they are made only with `make`.
    """
    settings = settings or configured()
    if settings.database_url is not None:
        return settings
    _check_embedded(settings, make=make)
    server = embedded.ensure(project_root(Path.cwd()))
    _say_embedded(server)
    return replace(settings, database_url=server.dsn())


def ready(settings: Settings | None = None) -> Settings:
    """As `found`, and an embedded database gets its schema; a configured one is never touched."""
    settings = settings or configured()
    is_embedded = settings.database_url is None
    settings = found(settings, make=True)
    if is_embedded:
        bring_up(settings)
    return settings


def ask(call: Call[T]) -> T:
    """Run one call on the store."""
    return with_store(lambda store: store.run(call))


def with_store(work: Callable[[AsyncDoor], Awaitable[T]], settings: Settings | None = None) -> T:
    """Run some calls on the store, over one connection; its schema must be current."""
    where = settings or found()

    async def on_store(connection: Any) -> T:
        await check_version(connection, where.schema)
        return await work(on(connection, schema=where.schema))

    return with_connection(on_store, where)


def with_connection(
    work: Callable[[Any], Awaitable[T]], settings: Settings, *, answer_within: float = 30.0
) -> T:
    """Do something with a connection of asyncpg, whatever the schema on it."""

    async def connected() -> T:
        connection = await open_connection(
            settings, name="howdah command", answer_within=answer_within
        )
        try:
            return await work(connection)
        finally:
            await closed(connection)

    return asyncio.run(connected())


@contextmanager
def for_the_owner() -> Iterator[None]:
    """What only the owner of the schema may do: no grant of ours would help another role."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise Denied(
            f"{error}: only the owner of the schema may do that",
            hint="Connect as the role that ran howdah db migrate.",
        ) from error


def bring_up(settings: Settings) -> None:
    """Give a database its schema, if it has none or an older one."""
    asyncio.run(_bring_up(settings))


async def _bring_up(settings: Settings) -> None:
    connection = await open_connection(settings, name="howdah migrate", answer_within=LONGEST)
    try:
        await check_version(connection, settings.schema)
    except SchemaMismatch:
        await migrate(connection, settings.schema)
    finally:
        await closed(connection)


def _check_embedded(settings: Settings, *, make: bool) -> None:
    """NoDatabase where an embedded server may not be used, or there is none to be read."""
    if settings.env == "production":
        raise NoDatabase(
            "no database is configured, and HOWDAH_ENV=production forbids the embedded one",
            hint="Set DATABASE_URL, or HOWDAH_DATABASE_URL, to a PostgreSQL 14 or newer.",
        )
    if make and _is_a_service():
        raise NoDatabase(
            "no database is configured, and a service does not use the embedded one",
            hint="Set DATABASE_URL, or HOWDAH_DATABASE_URL, to a PostgreSQL 14 or newer.",
        )
    if not make and embedded.status(project_root(Path.cwd())).data_dir is None:
        raise NoDatabase(
            "no database is configured, and this project has no embedded one yet",
            hint=NO_DATABASE_HINT,
        )


def _is_a_service() -> bool:
    """Whether systemd or Kubernetes started us: nobody would see that we made a database."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return True
    try:
        stderr = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def _say_embedded(server: embedded.Server) -> None:
    if not server.owned and not sys.stderr.isatty():
        return  # whoever started it has said so
    folder = os.path.relpath(server.data_dir)
    version = "{}.{}".format(*server.version)
    click.echo(
        f"using embedded PostgreSQL {version} in {folder} (set DATABASE_URL for your own)", err=True
    )
