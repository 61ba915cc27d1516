"""`howdah demo`: sees the whole path work on real files."""

from __future__ import annotations

import asyncio
import os
import secrets
import sysconfig

import click

from howdah.cli import database, exits, show
from howdah.cli.demo_report import Report, show_report
from howdah.cli.demo_run import run_demo
from howdah.cli.options import as_json as json_option
from howdah.demo import INSTALLED, SKIPPED, app, find_files
from howdah.foreground import loop_factory

SLOTS = 4 * (os.cpu_count() or 1)


@click.command("demo")
@click.argument(
    "path", type=click.Path(exists=True, file_okay=False, path_type=bytes), required=False
)
@click.option(
    "--slots", "-c", type=click.IntRange(1, 1000), default=SLOTS, help="Jobs to run at once."
)
@json_option
def command(path: bytes | None, slots: int, as_json: bool) -> int:
    """Hash and count every regular file below PATH, one job each, and say what came of it.

    PATH is Python's standard library if it is not given (without what is installed beside it).
    Links, __pycache__ and .howdah are left out.
    Exit code 1 if a file could not be read.
    """
    root = os.path.abspath(path or os.fsencode(sysconfig.get_path("stdlib")))
    skipped = SKIPPED if path else SKIPPED | INSTALLED
    app.use(database.ready(app.settings))
    tag = f"run-{secrets.token_hex(4)}"
    files = [*find_files(root, skipped)]
    show.said(f"{len(files)} files below {os.fsdecode(root)}")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        report: Report = runner.run(run_demo(files, tag, root=root, slots=slots))
    if as_json:
        show.document(report)
    else:
        show_report(report)
    if report.interrupted:
        return exits.INTERRUPTED
    return exits.FAILED if report.failed else 0
