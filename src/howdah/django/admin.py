"""The admin: jobs, queues and workers to look at; jobs to retry, cancel or run now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import transaction
from django.utils.functional import cached_property

from howdah import jobs
from howdah.call import Call
from howdah.django.models import Job, Queue, Worker
from howdah.django.project import app
from howdah.drivers.django import alias
from howdah.errors import Conflict
from howdah.rows import STATES

MOST = 10_000  # rows that are counted: to count ten million takes seconds


class Capped(Paginator):
    """Counts up to MOST, however many there are."""

    @cached_property
    def count(self) -> int:
        """How many there are, as far as it counts."""
        return len(self.object_list.order_by().values_list("pk")[:MOST])


class Looking(admin.ModelAdmin):
    """Nothing can be added, changed or deleted."""

    paginator = Capped
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: Any) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """Never."""
        return False


def _action(verb: Callable[[UUID], Call[bool]], said: str, short: str) -> Any:
    """An action of the list: the verb on each chosen job."""

    @admin.action(description=short, permissions=["verbs"])
    def act(self: Any, request: Any, queryset: Any) -> None:
        done = 0
        for job_id in queryset.values_list("pk", flat=True):
            try:
                with transaction.atomic(using=alias()):  # the request may be in one, and go on
                    done += app.sync_client.run(verb(job_id))
            except Conflict as error:
                self.message_user(request, error.message, messages.WARNING)
        self.message_user(request, f"{done} {said}")

    act.__name__ = short.split(maxsplit=1)[0].lower()
    return act


class OfState(admin.SimpleListFilter):
    """By the states that there are: to ask the jobs for theirs would read all of them."""

    title = parameter_name = "state"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """All states."""
        return [(state, state) for state in STATES]

    def queryset(self, request: Any, queryset: Any) -> Any:
        """The jobs in the chosen one."""
        return queryset if self.value() not in STATES else queryset.filter(state=self.value())


@admin.register(Job)
class JobAdmin(Looking):
    """Jobs, newest first."""

    list_display = ("id", "task", "queue", "state", "attempt", "run_at", "finished_at")
    list_filter = (OfState,)
    search_fields = ("id__exact", "task__exact", "queue__exact")
    search_help_text = "A whole id, or the whole name of a task or queue"
    ordering = ("-id",)
    actions = (
        _action(jobs.retry, "brought back", "Retry finished jobs"),
        _action(jobs.cancel, "cancelled, or asked to stop", "Cancel jobs"),
        _action(jobs.run_now, "made ready", "Run scheduled jobs now"),
    )

    def has_verbs_permission(self, request: Any) -> bool:
        """Whoever may change jobs."""
        return bool(request.user.has_perm("howdah.change_job"))


@admin.register(Queue)
class QueueAdmin(Looking):
    """Queues."""

    list_display = ("queue", "paused", "ready", "scheduled", "running", "failed", "oldest")
    ordering = ("queue",)


@admin.register(Worker)
class WorkerAdmin(Looking):
    """Workers."""

    list_display = ("name", "host", "pid", "version", "running", "beat_at", "control")
    ordering = ("name",)
