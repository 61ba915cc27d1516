"""`howdah listeners put`: makes or changes a listener in the database."""

from __future__ import annotations

from typing import Any

import click

from howdah import listeners
from howdah.cli import database, show
from howdah.cli.enqueue import json_object
from howdah.cli.options import DURATION
from howdah.job import Job, check_task_name, make_options
from howdah.listeners import make_listener


@click.command("put")
@click.argument("name")
@click.argument("event")
@click.argument("task")
@click.argument("arguments", metavar="[JSON]", default="{}")
@click.option("--delay", type=DURATION, help="Run its jobs so long after the event: 30s, 5m.")
@click.option("--collapse", is_flag=True, help="Gather events in one job while that waits.")
@click.option("--collapse-on", metavar="MEMBER", help="The same by a member of the data.")
@click.option("--queue", "-q", help="The queue, instead of the task's.")
@click.option("--priority", type=int, help="Greater runs first.")
@click.option("--max-attempts", type=int, help="Attempts in all.")
@click.option("--timeout", type=DURATION, help="How long one attempt may take.")
@click.option("--tag", "tags", multiple=True, help="To find its jobs by.")
def command(
    *,
    name: str,
    event: str,
    task: str,
    arguments: str,
    delay: float | None,
    collapse: bool,
    collapse_on: str | None,
    tags: tuple[str, ...],
    **options: Any,
) -> None:
    """Make the listener NAME, or change it: each EVENT makes a job of TASK.

    EVENT is a name, or a prefix with one * behind it: 'user.created', 'job.failed.mail.*'. The job
    gets what happened as the argument event, or events when it gathers, besides JSON, an object.
    """
    text = json_object(task, arguments.encode("utf-8", "surrogateescape"))
    listener = make_listener(
        name,
        event,
        Job(check_task_name(task), text, make_options(**options, tags=tags or None)),
        delay=delay,
        collapse=collapse,
        collapse_on=collapse_on,
    )
    changed = database.ask(listeners.put(listener))
    show.said(f"{name} {'is put' if changed else 'was just so already'}")
