"""Howdah in a Django project: add "howdah.django" to INSTALLED_APPS, and `manage.py migrate`.

    from howdah.django import app          # in tasks.py of any app

    @app.task
    def send_welcome(user_id: int) -> None: ...

    send_welcome.enqueue_sync(42)          # on Django's own connection: inside atomic() it commits,
    await send_welcome.enqueue(42)         # or rolls back, with the rest

`task` is short for `app.task`; `database` makes an entry of DATABASES from DATABASE_URL, or from
the project's embedded PostgreSQL. Test helpers are in `howdah.django.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from howdah.django.databases import database
    from howdah.django.project import DjangoApp, app

    task = app.task

__all__ = ["DjangoApp", "app", "database", "task"]


def __getattr__(name: str) -> Any:
    """Imported when first used: settings.py may ask for `database` before there are settings."""
    if name == "database":
        from howdah.django.databases import database

        return database
    if name in __all__:
        from howdah.django import project

        return project.app.task if name == "task" else getattr(project, name)
    raise AttributeError(f"module 'howdah.django' has no attribute {name!r}")
