"""What the demo says at its end."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass

import click

from howdah.cli import show
from howdah.demo import QUEUE, Failure, Totals
from howdah.durations import written
from howdah.printable import gist, printable

MOST_SHOWN = 20  # failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run: `files` were listed, of which so many succeeded and failed.

    Bytes and lines are of those that succeeded; `seconds` is from the first start to the last end.
    """

    run: str
    root: str
    files: int
    succeeded: int
    failed: int
    bytes: int
    lines: int
    seconds: float
    jobs_per_second: float
    failures: list[dict[str, object]]
    interrupted: bool


def make_report(
    totals: Totals, failed: list[Failure], *, run: str, root: str, files: int, interrupted: bool
) -> Report:
    """The report of these figures."""
    done = totals.succeeded + totals.failed
    return Report(
        run=run,
        root=root.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
        files=files,
        succeeded=totals.succeeded,
        failed=totals.failed,
        bytes=totals.bytes,
        lines=totals.lines,
        seconds=round(totals.seconds, 3),
        jobs_per_second=round(done / totals.seconds, 1) if totals.seconds > 0 else 0.0,
        failures=[
            {"id": str(f.id), "path": f.path, "error": gist(f.error), "attempts": f.attempts}
            for f in failed
        ],
        interrupted=interrupted,
    )


def own_name() -> str:
    """How to call this command from here: its name, or its path where no PATH leads to it."""
    called = sys.argv[0]
    if shutil.which("howdah") or not os.path.basename(called).startswith("howdah"):
        return "howdah"
    return os.path.relpath(called)


def show_report(report: Report) -> None:
    """The report, for people."""
    show.facts(
        {
            "files": f"{report.files:,}",
            "bytes": f"{report.bytes:,}",
            "lines": f"{report.lines:,}",
            "jobs/s": f"{report.jobs_per_second:,.0f} ({written(report.seconds)})",
            "failures": f"{report.failed:,}",
        }
    )
    for failure in report.failures[:MOST_SHOWN]:
        click.echo(f"  ✗ {printable(str(failure['path']))}: {failure['error']}")
    if report.failed > MOST_SHOWN:
        click.echo(f"  … and {report.failed - MOST_SHOWN:,} more")
    if report.interrupted:
        left = report.files - report.succeeded - report.failed
        click.echo(f"interrupted with {left:,} files to go; a worker goes on with those enqueued:")
        click.echo(f"  {own_name()} worker howdah.demo:app -q demo --burst")
    click.echo("Look at the jobs:")
    click.echo(f"  {own_name()} jobs list --queue {QUEUE} --tag {report.run}")
    if report.failed:
        click.echo(f"  {own_name()} jobs list --tag {report.run} --state failed")
        click.echo(f"  {own_name()} jobs show {report.failures[0]['id']}")
