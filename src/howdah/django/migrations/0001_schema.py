"""Installs the schema with our own SQL files; the models are views of it.

`manage.py migrate howdah zero` drops it again, with all jobs.
"""

from typing import Any

from django.db import migrations, models

from howdah.django import schema
from howdah.django.fields import Texts


def _view(name: str, *fields: Any, permissions: tuple[str, ...] = ("view",)) -> Any:
    options = {
        "db_table": schema.table(name.lower() + "s"),
        "managed": False,
        "default_permissions": permissions,
    }
    return migrations.CreateModel(name=name, fields=[*fields], options=options)


ATTEMPT = _view(
    "Attempt",
    (
        "pk",
        models.CompositePrimaryKey(
            "job_id", "attempt", blank=True, editable=False, primary_key=True, serialize=False
        ),
    ),
    ("job_id", models.UUIDField()),
    ("attempt", models.IntegerField()),
    ("outcome", models.TextField()),
    ("error", models.TextField(null=True)),
    ("started_at", models.DateTimeField(null=True)),
    ("finished_at", models.DateTimeField()),
    ("worker", models.UUIDField(null=True)),
)
JOB = _view(
    "Job",
    ("id", models.UUIDField(primary_key=True, serialize=False)),
    ("queue", models.TextField()),
    ("task", models.TextField()),
    ("args", models.JSONField()),
    ("state", models.TextField()),
    ("priority", models.IntegerField()),
    ("attempt", models.IntegerField()),
    ("max_attempts", models.IntegerField()),
    ("timeout", models.DurationField(null=True)),
    ("run_at", models.DateTimeField()),
    ("created_at", models.DateTimeField()),
    ("started_at", models.DateTimeField(null=True)),
    ("finished_at", models.DateTimeField(null=True)),
    ("worker", models.UUIDField(null=True)),
    ("result", models.JSONField(null=True)),
    ("error", models.TextField(null=True)),
    ("tags", Texts(null=True)),
    ("headers", models.JSONField(null=True)),
    ("delivery", models.TextField()),
    ("unique_key", models.TextField(null=True)),
    ("crashes", models.IntegerField()),
    ("leased_until", models.DateTimeField(null=True)),
    ("serial_key", models.TextField(null=True)),
    ("limit_keys", Texts(null=True)),
    ("cursor", models.JSONField(null=True)),
    permissions=("view", "change"),
)
QUEUE = _view(
    "Queue",
    ("queue", models.TextField(primary_key=True, serialize=False)),
    ("paused", models.BooleanField()),
    ("ready", models.BigIntegerField()),
    ("scheduled", models.BigIntegerField()),
    ("running", models.BigIntegerField()),
    ("failed", models.BigIntegerField()),
    ("oldest", models.DurationField(null=True)),
    ("keep_history", models.BooleanField()),
    ("durable", models.BooleanField()),
)
WORKER = _view(
    "Worker",
    ("id", models.UUIDField(primary_key=True, serialize=False)),
    ("name", models.TextField()),
    ("host", models.TextField()),
    ("pid", models.IntegerField()),
    ("version", models.TextField()),
    ("started_at", models.DateTimeField()),
    ("beat_at", models.DateTimeField()),
    ("running", models.BigIntegerField()),
    ("control", models.TextField()),
)


class Migration(migrations.Migration):
    """Each migration of ours has a transaction of its own, and gives up its locks soon."""

    initial = True
    atomic = False
    dependencies = ()
    operations = (
        migrations.RunPython(schema.install, schema.remove),
        ATTEMPT,
        JOB,
        QUEUE,
        WORKER,
    )
