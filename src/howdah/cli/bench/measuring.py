"""What all modes of `howdah bench` do around the measurement: refuse, tell where, run, show."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
import msgspec

from howdah.bench.figures import Figure, Found, rounded
from howdah.bench.surroundings import Surroundings, surroundings
from howdah.cli import database, show
from howdah.cli.asking import confirm
from howdah.cli.options import as_json
from howdah.cli.show import Column
from howdah.foreground import loop_factory
from howdah.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
Mode = Callable[[Settings], Coroutine[Any, Any, Found]]

COLUMNS: list[Column[Figure]] = [
    Column("figure", lambda figure: figure.name),
    Column("median", lambda figure: written(figure.value), right=True),
    Column("unit", lambda figure: figure.unit),
    Column("least", lambda figure: written(min(figure.rounds)), right=True),
    Column("most", lambda figure: written(max(figure.rounds)), right=True),
]


processes = click.option(
    "--processes",
    "-p",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Of workers.",
)


def options(rounds: int) -> Callable[[F], F]:
    """The options of every mode; so many rounds unless told otherwise."""

    def added(command: F) -> F:
        command = as_json(command)
        command = click.option(
            "--yes", is_flag=True, help="Measure although others use this database."
        )(command)
        return click.option(
            "--rounds",
            type=click.IntRange(1, 1000),
            default=rounds,
            show_default=True,
            help="How often; figures are medians.",
        )(command)

    return added


def measure(mode: Mode, *, yes: bool, as_json: bool) -> None:
    """Run a mode and show what it found."""
    settings = database.found(make=True)
    workers = database.with_connection(lambda c: _workers(c, settings.schema), settings)
    if settings.env == "production" or workers:
        whose = "a production database" if settings.env == "production" else "a database in use"
        confirm(
            f"Put load on {whose} ({workers} workers alive in schema {settings.schema})",
            yes=yes,
            dry_run=False,
        )
    where = database.with_connection(surroundings, settings)
    _tell(where)
    found = _run(mode(settings))
    if as_json:
        show.document(document(found, where))
        return
    show.listed(found.figures, COLUMNS, as_json=False)
    show.said(f"warm-up: {found.warm_up}")
    for note in found.notes:
        show.said(f"note: {note}")


def document(found: Found, where: Surroundings) -> dict[str, object]:
    """All there is to know about a measurement, for JSON."""
    return {
        **msgspec.to_builtins(where),
        **msgspec.to_builtins(found),
        "figures": {
            figure.name: {
                "value": rounded(figure.value),
                "unit": figure.unit,
                "rounds": [rounded(value) for value in figure.rounds],
            }
            for figure in found.figures
        },
    }


def written(value: float) -> str:
    """A figure for people: 31,250, 0.853, 12.4."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{rounded(value, 3):g}"


async def _workers(connection: Any, schema: str) -> int:
    """How many workers the configured schema has, if it is there at all."""
    if await connection.fetchval("select to_regclass($1)", f"{schema}.workers") is None:
        return 0
    count: int = await connection.fetchval(f"select count(*) from {schema}.workers")
    return count


def _tell(where: Surroundings) -> None:
    """On stderr: stdout is for the figures."""
    versions = where.versions
    loop = f"uvloop {versions['uvloop']}" if versions["uvloop"] else "asyncio's own loop"
    show.said(
        f"howdah {versions['howdah']}, Python {versions['python']}, {loop}, "
        f"PostgreSQL {versions['postgresql']}"
    )
    server = ", ".join(f"{name} {value}" for name, value in where.server.items() if value)
    show.said(f"server: {server}")
    show.said(f"{where.machine['usable_cores']} cores, load {where.load:.2f}")
    if not where.durable:
        show.said(
            "warning: this server does not wait for its disk (fsync, full_page_writes, "
            "synchronous_commit): these figures are not those of durable commits"
        )


def _run(work: Coroutine[Any, Any, Found]) -> Found:
    """Until it is done, or a signal ends it, which still drops the schema."""
    log = logging.getLogger("howdah.bench")
    log.setLevel(logging.INFO)
    handler = _Teller()
    log.addHandler(handler)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_with_signals(work))
    except asyncio.CancelledError:
        raise click.Abort from None
    finally:
        log.removeHandler(handler)


async def _with_signals(work: Coroutine[Any, Any, Found]) -> Found:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):  # Ctrl-C is the Runner's to tell
        loop.add_signal_handler(number, task.cancel)
    return await work


class _Teller(logging.Handler):
    """How far it is, on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        show.said(record.getMessage())
