"""The views of the contract as models to read: Job, Attempt, Queue, Worker.

    Job.objects.filter(state="failed", queue="mail")

What is to change goes through the verbs, `app.sync_client.run(jobs.retry(job_id))`, or the admin.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import DEFAULT_DB_ALIAS, models, router

from howdah.django.fields import Texts
from howdah.django.schema import table
from howdah.drivers.django import alias
from howdah.errors import BadInput


def _refused(*_: Any, **__: Any) -> NoReturn:
    raise BadInput(
        "these rows are the engine's to write: the models of howdah.django only read",
        hint="Enqueue with a task: send.enqueue_sync(…). Change a job with a verb: "
        "app.sync_client.run(jobs.cancel(job_id)); or retry, run_now, delete.",
    )


class ReadOnly(models.QuerySet):
    """Rows to look at."""

    create = bulk_create = get_or_create = update_or_create = _refused
    update = bulk_update = delete = _refused


class Where(models.Manager.from_queryset(ReadOnly)):  # type: ignore[misc]
    """Reads where the jobs are, unless `using`, or a router of the project's, says where else."""

    def get_queryset(self) -> ReadOnly:
        """Of the database that HOWDAH names."""
        chosen = self._db or router.db_for_read(self.model)
        if self._db is None and chosen == DEFAULT_DB_ALIAS:
            chosen = alias()
        found: ReadOnly = super().get_queryset().using(chosen)
        return found


class View(models.Model):
    """A row of a view."""

    objects = Where()

    class Meta:
        """No table of Django's."""

        abstract = True

    save = save_base = delete = _refused


class Job(View):
    """Every job, live and finished."""

    id = models.UUIDField(primary_key=True)
    queue = models.TextField()
    task = models.TextField()
    args = models.JSONField()
    state = models.TextField()
    priority = models.IntegerField()
    attempt = models.IntegerField()
    max_attempts = models.IntegerField()
    timeout = models.DurationField(null=True)
    run_at = models.DateTimeField()
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    worker = models.UUIDField(null=True)
    result = models.JSONField(null=True)
    error = models.TextField(null=True)
    tags = Texts(null=True)
    headers = models.JSONField(null=True)
    delivery = models.TextField()
    unique_key = models.TextField(null=True)
    crashes = models.IntegerField()
    leased_until = models.DateTimeField(null=True)
    serial_key = models.TextField(null=True)
    limit_keys = Texts(null=True)
    cursor = models.JSONField(null=True)
    progress = models.JSONField(null=True)

    class Meta:
        """The view howdah.jobs."""

        managed = False
        db_table = table("jobs")
        default_permissions = ("view", "change")  # to change: the admin's retry, cancel, run now

    def __str__(self) -> str:
        return f"{self.task} {self.id}"


class Attempt(View):
    """Every attempt that did not simply succeed; `pk` is its job and its number."""

    pk = models.CompositePrimaryKey("job_id", "attempt")
    job_id = models.UUIDField()
    attempt = models.IntegerField()
    outcome = models.TextField()
    error = models.TextField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField()
    worker = models.UUIDField(null=True)

    class Meta:
        """The view howdah.attempts."""

        managed = False
        db_table = table("attempts")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"attempt {self.attempt} of {self.job_id}: {self.outcome}"


class Queue(View):
    """Counts (capped at 1,000) and the oldest age of each queue."""

    queue = models.TextField(primary_key=True)
    paused = models.BooleanField()
    ready = models.BigIntegerField()
    scheduled = models.BigIntegerField()
    running = models.BigIntegerField()
    failed = models.BigIntegerField()
    oldest = models.DurationField(null=True)
    keep_history = models.BooleanField()
    durable = models.BooleanField()

    class Meta:
        """The view howdah.queues."""

        managed = False
        db_table = table("queues")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.queue)


class Worker(View):
    """Who is alive."""

    id = models.UUIDField(primary_key=True)
    name = models.TextField()
    host = models.TextField()
    pid = models.IntegerField()
    version = models.TextField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    running = models.BigIntegerField()
    control = models.TextField()

    class Meta:
        """The view howdah.workers."""

        managed = False
        db_table = table("workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.name)
