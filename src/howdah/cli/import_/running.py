"""What imports have in common: their options, their run, and how they tell what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from howdah.cli import database, show
from howdah.cli.apps import chosen_app
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.connect import check_version, closed, open_connection
from howdah.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from howdah.importing import Plan, Report, Source
    from howdah.importing.report import Moved
    from howdah.settings import Settings
    from howdah.task import Task

F = TypeVar("F", bound=Callable[..., Any])


def options(command: F) -> F:
    """Those that every import has."""
    for option in reversed(
        (
            click.option("--dry-run", is_flag=True, help="Look at all jobs, and move none."),
            click.option(
                "--task", "tasks", metavar="THERE=HERE", multiple=True,
                help="What a task is called here, if it is called otherwise there.",
            ),
            click.option(
                "--leave", metavar="TASK", multiple=True,
                help="A task, as it is called there, whose jobs are to stay.",
            ),
            click.option(
                "--undeclared", is_flag=True,
                help="Take jobs of tasks, too, that neither the App nor any worker has declared.",
            ),
            click.option("--tag", "tags", multiple=True, help="To find the jobs by."),
            click.option(
                "--from", "url", metavar="URL", envvar="HOWDAH_IMPORT_FROM", show_envvar=True,
                help="Its database, if it is another one. Its workers must be stopped then.",
            ),
            click.option(
                "--app", "app_name",
                help="Check the arguments by this App's tasks (package.module:app).",
            ),
            json_option,
        )
    ):  # fmt: skip
        command = option(command)
    return command


def run(
    source: Source,
    *,
    dry_run: bool,
    url: str | None,
    app_name: str | None,
    as_json: bool,
    **said: Any,
) -> None:
    """Import, and tell; raises Conflict where nothing may be moved."""
    from howdah.importing import import_jobs

    app = chosen_app(app_name)
    plan = _plan(known={} if app is None else app.tasks, **said)
    settings = database.found(app.settings if app else None)
    counted = _Count()

    async def work(connection: Any) -> Report:
        await check_version(connection, settings.schema)
        async with _connection_there(settings, url) as there:
            return await import_jobs(
                connection,
                source,
                plan,
                there=there,
                schema=settings.schema,
                dry_run=dry_run,
                progress=counted,
            )

    try:
        report = database.with_connection(work, settings)
    except BaseException:
        if counted.jobs:
            show.said(f"{counted.jobs} jobs are imported; import again for the others")
        raise
    _tell(report, as_json=as_json)
    if report.flaws:
        raise _refusal(report)


def _plan(
    *,
    known: Mapping[str, Task[..., Any]],
    tasks: Sequence[str],
    leave: Sequence[str],
    undeclared: bool,
    tags: Sequence[str],
    queues: Sequence[str] = (),
    payloads: Sequence[str] = (),
) -> Plan:
    from howdah.importing import Plan

    return Plan(
        tasks=_pairs("--task", tasks),
        queues=_pairs("--queue", queues),
        leave=frozenset(leave),
        payloads=dict(_how(payload) for payload in payloads),
        tags=tuple(tags),
        undeclared=undeclared,
        known=known,
    )


class _Count:
    """How many are imported by now; on a terminal it shows."""

    def __init__(self) -> None:
        self.jobs = 0

    def __call__(self, jobs: int) -> None:
        self.jobs = jobs
        if sys.stderr.isatty():
            click.echo(f"\r{jobs:,} jobs", err=True, nl=False)


@asynccontextmanager
async def _connection_there(settings: Settings, url: str | None) -> AsyncIterator[Any]:
    """A connection to the other database; None when it is this one."""
    if url is None:
        yield None
        return
    connection = await open_connection(settings, name="howdah import", url=url)
    try:
        yield connection
    finally:
        await closed(connection)


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    pairs = [one.rpartition("=") for one in given]
    for there, is_pair, here in pairs:
        if not (there and is_pair and here):
            raise click.UsageError(f"{option} takes two names: {option} old.name=new.name")
    return {there: here for there, _, here in pairs}


def _how(given: str) -> tuple[str, str]:
    task, _, how = given.rpartition("=")
    return task, how


COLUMNS: list[Column[Moved]] = [
    Column("task there", lambda moved: moved.there),
    Column("task here", lambda moved: moved.here),
    Column("jobs", lambda moved: moved.jobs, right=True),
]


def _tell(report: Report, *, as_json: bool) -> None:
    moved = [report.moved[name] for name in sorted(report.moved)]
    if as_json:
        show.document(
            {
                "from": report.system,
                "dry_run": report.dry_run,
                "jobs": report.jobs,
                "found": report.found,
                "tasks": [asdict(one) for one in moved],
                "left": report.left,
                "flaws": [asdict(flaw) for flaw in report.flaws.values()],
            }
        )
        return
    if moved:
        show.listed(moved, COLUMNS, as_json=False)
    for flaw in report.flaws.values():
        show.said(f"{flaw.task}: {flaw.why} ({flaw.jobs} jobs, for example {flaw.example})")
    would = "would be " if report.dry_run else ""
    if not report.flaws:
        show.said(f"{report.jobs} jobs {would or 'are '}imported")
    if report.found:
        show.said(f"{report.found} of them were here already, by their key or id")
    for what, n in report.left.items():
        show.said(f"{n} {what}: they are left where they are")


def _refusal(report: Report) -> Conflict:
    jobs = sum(flaw.jobs for flaw in report.flaws.values())
    return Conflict(
        f"{jobs} jobs cannot come, so nothing was imported",
        hint="Say --task THERE=HERE where a task is called otherwise, --leave TASK where its jobs "
        "are to stay there, --undeclared to take those that nobody has declared.",
    )
