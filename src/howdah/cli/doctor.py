"""`howdah doctor`: looks for what could go wrong, a line each."""

from __future__ import annotations

import click

from howdah.cli import database, exits, show
from howdah.cli.doctor_checks import Finding, examine, no_connection
from howdah.cli.options import as_json as json_option
from howdah.errors import DatabaseError
from howdah.printable import printable

MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Look at connection, server, schema, notifications, clocks, durability and stuck jobs.

    Exit code 1 if something fails; warnings do not count.
    """
    try:
        settings = database.found()
        findings = database.with_connection(lambda c: examine(c, settings), settings)
    except DatabaseError as error:
        findings = [no_connection(error)]
    if as_json:
        show.document([show.plain(finding) for finding in findings])
    else:
        for finding in findings:
            _show(finding)
    return exits.FAILED if any(finding.verdict == "fail" for finding in findings) else 0


def _show(finding: Finding) -> None:
    mark, colour = MARKS[finding.verdict]
    marked = click.style(mark, fg=colour) if show.is_fancy() else mark
    click.echo(f"{marked} {finding.verdict:<4}  {finding.about:<16}  {printable(finding.found)}")
    if finding.hint and finding.verdict != "ok":
        click.echo(f"{'':26}{printable(finding.hint)}")
