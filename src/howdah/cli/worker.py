"""`howdah worker`: runs jobs until told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from howdah.cli import database
from howdah.cli.apps import chosen_app
from howdah.cli.keeper import Keeper
from howdah.errors import BadInput
from howdah.reporter import Reporter, write_logs
from howdah.runner import run_worker
from howdah.settings import project_root


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
@click.option("--slots", "-c", type=int, help="Jobs to run at once.")
@click.option("--burst", is_flag=True, help="Leave when there is nothing left to do.")
@click.option("--name", help="How the worker is called; host and process id, if not said.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def command(
    *,
    app: str | None,
    modules: tuple[str, ...],
    queues: tuple[str, ...],
    slots: int | None,
    burst: bool,
    name: str | None,
    log_format: str,
) -> None:
    """Run the jobs of APP (package.module:app), or of the functions of imported modules.

    The first SIGTERM or Ctrl-C lets running jobs end, the second hands them back, the third leaves.
    """
    chosen = chosen_app(app, modules)
    if chosen is None:
        raise BadInput(
            "which app?",
            hint="Name one: howdah worker yourpackage.module:app, or --import yourpackage.module, "
            'or app = "yourpackage.module:app" under [tool.howdah] in pyproject.toml',
        )
    if slots is not None and slots < 1:
        raise BadInput(f"{slots} slots cannot be had", hint="Use 1 to 10000.")
    write_logs(as_json=log_format == "json")
    is_embedded = chosen.settings.database_url is None
    chosen.use(database.ready(chosen.settings))
    worker = chosen.worker(queues=queues or None, slots=slots, name=name)
    chosen.events.subscribe(Reporter(worker, chosen.settings))
    if is_embedded:
        chosen.events.subscribe(Keeper(project_root(Path.cwd())))
    run_worker(worker, burst=burst)
