"""`howdah worker`: runs jobs until told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
from functools import partial
from pathlib import Path
from typing import Any

import click

from howdah.cli import database
from howdah.cli.apps import chosen_source
from howdah.cli.keeper import Keeper
from howdah.errors import BadInput
from howdah.events import Events
from howdah.logs import write_logs
from howdah.parent import Parent
from howdah.parent.messages import Start
from howdah.parent.reporter import ParentReporter
from howdah.parent.service import Service
from howdah.settings import Settings, load, project_root
from howdah.source import Source
from howdah.system import usable_cores

MOST_PROCESSES = 64


@click.command("worker")
@click.argument("app", required=False)
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="A module whose public functions become tasks.",
)
@click.option(
    "--queue",
    "-q",
    "queues",
    multiple=True,
    metavar="NAME[:SLOTS]",
    help="A queue, or prefix*; with slots of its own. All, if none is named.",
)
@click.option("--slots", "-c", type=int, help="Jobs to run at once, in each process.")
@click.option(
    "--processes", "-p", type=int, help="Processes that run jobs: one for each core, at most 4."
)
@click.option("--http", is_flag=True, help="Call URLs too: jobs made by howdah.http.")
@click.option("--burst", is_flag=True, help="Leave when there is nothing left to do.")
@click.option("--name", help="How the worker is called; host and process id, if not said.")
@click.option(
    "--reload",
    is_flag=True,
    help="Start anew when a file of the project changes; running jobs get 3 s to end, then they "
    "are handed back and start over.",
)
@click.option(
    "--health-port",
    metavar="[HOST:]PORT",
    help="Answer probes at /livez, /readyz and /startupz; on all addresses, if no host is named.",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option("--log-args", is_flag=True, help="Write each job's arguments into its log line.")
def command(*, app: str | None, modules: tuple[str, ...], log_format: str, **given: Any) -> int:
    """Run the jobs of APP (package.module:app), or of the functions of imported modules.

    The first SIGTERM or Ctrl-C lets running jobs end, the second hands them back, the third leaves.
    SIGUSR1 writes what it does to stderr, as JSON.
    """
    http = given["http"] or load().settings.http
    source = chosen_source(app, modules) or (Source() if http else None)
    if source is None:
        raise BadInput(
            "which app?",
            hint="Name one: howdah worker yourpackage.module:app, or --import yourpackage.module, "
            "or --http to call URLs, "
            'or app = "yourpackage.module:app" under [tool.howdah] in pyproject.toml',
        )
    slots = given["slots"]
    if slots is not None and slots < 1:
        raise BadInput(f"{slots} slots cannot be had", hint="Use 1 to 10000.")
    write_logs(as_json=log_format == "json")
    start = Start(
        source=source,
        number=1,
        name=given["name"] or f"{socket.gethostname()}.{os.getpid()}",
        queues=given["queues"] or None,
        slots=slots,
        burst=given["burst"],
        http=http,
        log_json=log_format == "json",
        log_args=given["log_args"],
    )
    events = Events()
    events.subscribe(ParentReporter())
    parent = Parent(
        start,
        _processes(given["processes"]),
        ready=partial(_ready, events),
        events=events,
        watches_files=given["reload"],
    )
    service = Service(parent, health=given["health_port"], reload=given["reload"])
    return asyncio.run(service.run())


def _ready(events: Events, settings: Settings) -> Settings:
    """Settings that say where the database is; an embedded one is kept as long as we live."""
    found = database.ready(settings)
    if settings.database_url is None:
        events.subscribe(Keeper(project_root(Path.cwd())))
    return found


def _processes(wanted: int | None) -> int:
    if wanted is None:
        return min(4, usable_cores())
    if not 1 <= wanted <= MOST_PROCESSES:
        raise BadInput(f"{wanted} processes cannot be had", hint=f"Use 1 to {MOST_PROCESSES}.")
    return wanted
