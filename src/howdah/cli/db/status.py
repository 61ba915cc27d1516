"""`howdah db status`: which version is installed, and the embedded server."""

from __future__ import annotations

from pathlib import Path

import click

from howdah import embedded, migrate
from howdah.cli import database, exits, show
from howdah.cli.options import as_json as json_option
from howdah.settings import project_root, without_password


@click.command("status")
@json_option
def command(as_json: bool) -> int:
    """Which version of the schema is installed; exit code 3 unless it is this version's."""
    settings = database.configured()
    local = None if settings.database_url else embedded.status(project_root(Path.cwd()))
    settings = database.found(settings)
    status = database.with_connection(lambda c: migrate.status(c, settings.schema), settings)
    told: dict[str, object] = {
        "database": without_password(settings.database_url or ""),
        "schema": status.schema,
        "version": status.version,
        "newest": status.newest,
        "pending": [*status.pending],
        "current": status.is_current,
    }
    if local is not None:
        told |= {
            "embedded": {
                "folder": str(local.data_dir),
                "version": local.version,
                "stays": local.running,
                "bytes": local.size,
            }
        }
    if as_json:
        show.document(told)
    else:
        show.facts({**told, **_readable(local)})
    if not status.is_current:
        show.said(
            "Run: howdah db migrate"
            if status.version < status.newest
            else "Upgrade the howdah package."
        )
    return 0 if status.is_current else exits.NO_DATABASE


def _readable(local: embedded.Status | None) -> dict[str, object]:
    if local is None:
        return {}
    state = "running" if local.running else "stopped"
    return {"embedded": f"{local.version} in {local.data_dir}, {state}, {local.size / 1e6:.0f} MB"}
