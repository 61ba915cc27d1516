"""Installs, upgrades and drops the schema on Django's connection, with `manage.py migrate`."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.migrations.loader import MigrationLoader

from howdah import blocking
from howdah.django import conf
from howdah.drivers.django import alias


def install(_apps: Any, schema_editor: Any) -> None:
    """Install it, or bring it to this version; for migrations."""
    if schema_editor.connection.alias == alias():
        blocking.upgrade(conf.connection(), conf.schema())


def remove(_apps: Any, schema_editor: Any) -> None:
    """Drop it with all jobs: `manage.py migrate howdah zero`."""
    if schema_editor.connection.alias == alias():
        blocking.remove(conf.connection(), conf.schema())


def table(view: str) -> str:
    """The db_table of a view of the contract: Django puts the outer quotes around it."""
    return f'{conf.schema()}"."{view}'


def after_migrate(sender: AppConfig, using: str, verbosity: int = 1, **_: Any) -> None:
    """Behind every `migrate`: a newer package may bring more than the migrations here know of.

    Where Django's migrations are switched off, as test runners may do, it installs as well.
    """
    if using != alias():
        return
    connection = conf.connection()
    is_installed = blocking.status(connection, conf.schema()).version > 0
    if not is_installed and MigrationLoader.migrations_module(sender.label)[0] is not None:
        return  # it was removed, or its turn is still to come
    applied = blocking.upgrade(connection, conf.schema())
    if applied and verbosity > 0:
        print(f"  Upgraded howdah's schema: {', '.join(applied)}")  # noqa: T201 - as migrate does
