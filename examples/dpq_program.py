"""A whole Django program in one file: a task in a transaction, as in django-postgres-queue.

    export DATABASE_URL=postgresql://…
    python dpq_program.py migrate
    python dpq_program.py shell -c "import dpq_program; dpq_program.order()"
    python dpq_program.py howdah worker

A project of several files is shown in docs/how-to/django.md.
"""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dpq_program")
from howdah.django import database

SECRET_KEY = "an example"  # noqa: S105
USE_TZ = True
INSTALLED_APPS = ["howdah.django", "tasks_of_dpq"]
DATABASES = {"default": database()}


def order() -> None:
    """Two orders: one is committed, with its job; of the other nothing is left."""
    from django.db import transaction
    from tasks_of_dpq.tasks import confirm

    confirm.enqueue_sync("ada")
    try:
        with transaction.atomic():
            confirm.enqueue_sync("bob")
            raise RuntimeError
    except RuntimeError:
        print("bob's is taken back")


if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
