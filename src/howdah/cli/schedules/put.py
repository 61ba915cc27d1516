"""`howdah schedules put`: makes or changes a schedule in the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from howdah import schedules
from howdah.cli import database, show
from howdah.cli.enqueue import json_object
from howdah.cli.options import DURATION, MOMENT
from howdah.job import Job, check_task_name, make_options
from howdah.schedules import MISSED, OVERLAPS, make_schedule


@click.command("put")
@click.argument("name")
@click.argument("task")
@click.argument("arguments", metavar="[JSON]", default="{}")
@click.option("--cron", metavar="LINE", help="'0 8 * * *': daily at 8. A sixth field: seconds.")
@click.option("--every", type=DURATION, help="A fixed interval: 30s, 5m, 2h.")
@click.option("--rrule", metavar="RULE", help="An RRULE of RFC 5545: 'FREQ=WEEKLY;BYDAY=MO'.")
@click.option("--tz", default="UTC", show_default=True, help="The zone of the wall clock.")
@click.option("--starts-at", type=MOMENT, metavar="MOMENT",
              help="From when on: 2030-01-31T08:00:00Z.")  # fmt: skip
@click.option("--missed", type=click.Choice(MISSED), default="one", show_default=True,
              help="Ticks that nobody was there to fire.")  # fmt: skip
@click.option("--missed-after", type=DURATION, default="60s", show_default=True,
              help="So late a tick is missed.")  # fmt: skip
@click.option("--missed-within", type=DURATION, default="1d", show_default=True,
              help="Older ones are dropped.")  # fmt: skip
@click.option("--overlap", type=click.Choice(OVERLAPS), default="allow", show_default=True,
              help="While the job before has not ended.")  # fmt: skip
@click.option("--queue", "-q", help="The queue, instead of the task's.")
@click.option("--priority", type=int, help="Greater runs first.")
@click.option("--unique", "unique_key", help="At most one unfinished job has this key.")
@click.option("--max-attempts", type=int, help="Attempts in all.")
@click.option("--timeout", type=DURATION, help="How long one attempt may take.")
@click.option("--tag", "tags", multiple=True, help="To find its jobs by.")
def command(
    *,
    name: str,
    task: str,
    arguments: str,
    cron: str | None,
    every: float | None,
    rrule: str | None,
    tz: str,
    starts_at: datetime | None,
    missed: str,
    missed_after: float,
    missed_within: float,
    overlap: str,
    tags: tuple[str, ...],
    **options: Any,
) -> None:
    r"""Make the schedule NAME, of jobs of TASK with arguments, a JSON object; or change it.

    A changed rule starts now, or at --starts-at. \n in an RRULE begins a new line, after
    DTSTART for example.
    """
    text = json_object(task, arguments.encode("utf-8", "surrogateescape"))
    schedule = make_schedule(
        name,
        Job(check_task_name(task), text, make_options(**options, tags=tags or None)),
        cron,
        every=every,
        rrule=None if rrule is None else rrule.replace("\\n", "\n"),
        tz=tz,
        missed=missed,
        missed_after=missed_after,
        missed_within=missed_within,
        overlap=overlap,
    )
    changed = database.ask(schedules.put(schedule, starts_at=starts_at))
    show.said(f"{name} {'is put' if changed else 'was just so already'}")
