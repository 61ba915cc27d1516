"""What the doctor looks at: each check asks the server something and judges the answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import asyncpg

from howdah.check import check as compare
from howdah.connect import check_version, closed, open_connection
from howdah.durations import written
from howdah.errors import DatabaseError, HowdahError
from howdah.hosts import several_hosts
from howdah.refusals import translated
from howdah.settings import Settings, without_password

LONG_OPEN = 300.0  # seconds: an older transaction keeps dead rows from being removed
SKEW = 2.0
HEARD_WITHIN = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found: `verdict` is ok, warn or fail."""

    about: str
    verdict: str
    found: str
    hint: str | None = None


Check = Callable[[Any, Settings], Awaitable[Finding]]


async def examine(connection: Any, settings: Settings) -> list[Finding]:
    """All checks, one after another; one that cannot be done is a warning."""
    where = without_password(settings.database_url or "")
    findings = [Finding(about="connection", verdict="ok", found=where)]
    for about, check in CHECKS.items():
        try:
            findings.append(await check(connection, settings))
        except (HowdahError, asyncpg.PostgresError, OSError, TimeoutError) as error:
            why = str(translated(error) or error) or type(error).__name__
            findings.append(
                Finding(about=about, verdict="warn", found=f"could not be looked at: {why}")
            )
    return findings


def no_connection(error: DatabaseError) -> Finding:
    """What to say when there is nothing to look at."""
    return Finding(about="connection", verdict="fail", found=error.message, hint=error.hint)


async def _server(connection: Any, _: Settings) -> Finding:
    number = int(await connection.fetchval("show server_version_num"))
    version = await connection.fetchval("show server_version")
    if number < 140000:
        return Finding(
            about="server", verdict="fail", found=version, hint="Howdah needs PostgreSQL 14."
        )
    return Finding(about="server", verdict="ok", found=f"PostgreSQL {version}")


async def _encryption(_: Any, settings: Settings) -> Finding:
    """Off this machine only verify-full keeps out whoever sits in between."""
    url = settings.database_url or ""
    asked = parse_qs(urlsplit(url).query)
    mode = asked.get("sslmode", [os.environ.get("PGSSLMODE", "prefer")])[-1]
    one = urlsplit(url).hostname or asked.get("host", [os.environ.get("PGHOST", "")])[-1]
    away = [host for host in [h for h, _ in several_hosts(url)] or [one] if not _is_here(host)]
    if away and mode != "verify-full":
        return Finding(
            about="encryption",
            verdict="warn",
            found=f"{away[0]} is another machine, and sslmode is {mode}: anybody in between "
            "could read, or answer in its place",
            hint="Add ?sslmode=verify-full&sslrootcert=FILE to the URL.",
        )
    return Finding(about="encryption", verdict="ok", found=mode if away else "on this machine")


def _is_here(host: str) -> bool:
    return host in {"", "localhost", "::1"} or host.startswith(("/", "127."))


async def _writable(connection: Any, _: Settings) -> Finding:
    standby = await connection.fetchval("select pg_is_in_recovery()")
    if standby or await connection.fetchval("show transaction_read_only") == "on":
        what = "a standby" if standby else "read-only (default_transaction_read_only)"
        return Finding(about="writes", verdict="fail", found=what, hint="Connect to the primary.")
    return Finding(about="writes", verdict="ok", found="accepted")


async def _schema(connection: Any, settings: Settings) -> Finding:
    try:
        await check_version(connection, settings.schema)
    except DatabaseError as error:
        return Finding(about="schema", verdict="fail", found=error.message, hint=error.hint)
    try:
        differences = await compare(connection, settings.schema)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError):
        found = f"{settings.schema} is current; this role may not compare it"
        return Finding(about="schema", verdict="ok", found=found)
    if differences:
        found = f"{len(differences)} differences: {differences[0]}"
        return Finding(about="schema", verdict="warn", found=found, hint="Run: howdah db check")
    return Finding(about="schema", verdict="ok", found=f"{settings.schema} is current")


async def _notifications(_: Any, settings: Settings) -> Finding:
    """Listens on one connection, notifies on another."""
    listener = await open_connection(settings, name="howdah doctor", url=settings.listen_url)
    try:
        sender = await open_connection(settings, name="howdah doctor")
        try:
            heard = await _is_heard(listener, sender)
        finally:
            await closed(sender)
    finally:
        await closed(listener)
    if heard:
        return Finding(about="notifications", verdict="ok", found="arrive")
    return Finding(
        about="notifications",
        verdict="warn",
        found="do not arrive: jobs are found by polling only",
        hint="Is there a pooler in between? Set HOWDAH_LISTEN_URL to a direct connection.",
    )


async def _is_heard(listener: Any, sender: Any) -> bool:
    heard, channel = asyncio.Event(), f"howdah_doctor_{uuid4().hex}"
    await listener.add_listener(channel, lambda *_: heard.set())
    await sender.execute("select pg_notify($1, '')", channel)
    try:
        await asyncio.wait_for(heard.wait(), HEARD_WITHIN)
    except TimeoutError:
        return False
    return True


async def _pooler(connection: Any, settings: Settings) -> Finding:
    """The process id that was told at login is a pooler's invention if another one answers."""
    told, answers = (
        connection.get_server_pid(),
        await connection.fetchval("select pg_backend_pid()"),
    )
    if told == answers:
        return Finding(about="pooler", verdict="ok", found="none was noticed")
    return Finding(
        about="pooler",
        verdict="ok" if settings.listen_url else "warn",
        found="there is one in between",
        hint="Set HOWDAH_LISTEN_URL to a direct connection, and HOWDAH_PREPARE=false if need be.",
    )


async def _clocks(connection: Any, _: Settings) -> Finding:
    before = datetime.now(UTC)
    theirs = await connection.fetchval("select clock_timestamp()")
    after = datetime.now(UTC)
    skew = abs((theirs - (before + (after - before) / 2)).total_seconds())
    found = f"{written(skew)} apart"
    if skew > SKEW:
        hint = "Only the server's clock counts; run NTP on both, so that times in logs agree."
        return Finding(about="clocks", verdict="warn", found=found, hint=hint)
    return Finding(about="clocks", verdict="ok", found=found)


async def _autovacuum(connection: Any, _: Settings) -> Finding:
    both = [await connection.fetchval(f"show {name}") for name in ("autovacuum", "track_counts")]
    if both != ["on", "on"]:
        hint = "A queue needs it: set autovacuum and track_counts to on."
        return Finding(about="autovacuum", verdict="fail", found="off", hint=hint)
    return Finding(about="autovacuum", verdict="ok", found="on")


async def _durability(connection: Any, _: Settings) -> Finding:
    names = ("fsync", "full_page_writes", "synchronous_commit")
    values = {name: await connection.fetchval(f"show {name}") for name in names}
    found = ", ".join(f"{name} {value}" for name, value in values.items())
    if "off" in values.values():
        hint = "A crash of the server may lose jobs, or, without fsync, the database."
        return Finding(about="durability", verdict="warn", found=found, hint=hint)
    return Finding(about="durability", verdict="ok", found=found)


async def _transactions(connection: Any, _: Settings) -> Finding:
    row = await connection.fetchrow(
        "select pid, extract(epoch from clock_timestamp() - xact_start)::float8 as age, state "
        "from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid() "
        "and datname = current_database() order by xact_start limit 1"
    )
    if row is None or row["age"] < LONG_OPEN:
        found = "none is open" if row is None else f"the oldest is open for {written(row['age'])}"
        return Finding(about="transactions", verdict="ok", found=found)
    return Finding(
        about="transactions",
        verdict="warn",
        found=f"process {row['pid']} ({row['state']}) has had one open for {written(row['age'])}",
        hint="Dead rows stay until it ends, and claims get slower. pg_terminate_backend ends it.",
    )


async def _stuck(connection: Any, settings: Settings) -> Finding:
    count = await connection.fetchval(
        f"select count(*) from (select from {settings.schema}.expired limit 1000) e"
    )
    if count:
        hint = "Run a worker, or: howdah chores"
        found = f"{count} jobs were left by their workers, and not yet rescued"
        return Finding(about="stuck jobs", verdict="warn", found=found, hint=hint)
    return Finding(about="stuck jobs", verdict="ok", found="none")


async def _partitions(connection: Any, settings: Settings) -> Finding:
    """Rows in a default partition: nobody has made the days of history in time."""
    names = await connection.fetch(
        "select c.oid::regclass::text as name "
        "from pg_class c join pg_inherits i on i.inhrelid = c.oid "
        "where c.relnamespace = to_regnamespace($1) and c.relname ~ '_default$'",
        f"_{settings.schema}",
    )
    full = [
        row["name"]
        for row in names
        if await connection.fetchval(f"select exists (select from {row['name']})")
    ]
    if full:
        hint = "Run a worker, or howdah chores once a day, so that partitions are made."
        found = f"{', '.join(full)} hold rows"
        return Finding(about="partitions", verdict="warn", found=found, hint=hint)
    return Finding(about="partitions", verdict="ok", found="in place")


CHECKS: dict[str, Check] = {
    "server": _server,
    "encryption": _encryption,
    "writes": _writable,
    "schema": _schema,
    "notifications": _notifications,
    "pooler": _pooler,
    "clocks": _clocks,
    "autovacuum": _autovacuum,
    "durability": _durability,
    "transactions": _transactions,
    "stuck jobs": _stuck,
    "partitions": _partitions,
}
