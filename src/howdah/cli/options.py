"""Options that several commands share, and the kinds of values that they take."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from howdah.errors import BadInput

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    DurationBase = click.ParamType[float]
    MomentBase = click.ParamType[datetime]
    UuidBase = click.ParamType[UUID]
else:  # older clicks have no type arguments
    DurationBase = MomentBase = UuidBase = click.ParamType


class DurationType(DurationBase):
    """30s, 5m, 1h 30m, or seconds; given on as seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; a usage error for what is no duration."""
        from howdah.durations import seconds

        try:
            return seconds(value)
        except BadInput as error:
            self.fail(" ".join([error.message + ".", error.hint or ""]).strip(), param, ctx)


class MomentType(MomentBase):
    """An ISO 8601 moment with its time zone."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """An aware datetime; a usage error for what is none."""
        try:
            found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no moment. Write for example 2030-01-31T08:00:00Z.", param, ctx
            )
        if found.tzinfo is None:
            self.fail(
                f"{value!r} has no time zone. Write for example 2030-01-31T08:00:00Z.", param, ctx
            )
        return found


class UuidType(UuidBase):
    """A whole id."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        """The id; a usage error for what is none."""
        try:
            return value if isinstance(value, UUID) else UUID(value)
        except ValueError:
            self.fail(f"{value!r} is no id.", param, ctx)


DURATION, MOMENT, ID = DurationType(), MomentType(), UuidType()

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def filters(command: F) -> F:
    """Which jobs: by state, queue, task, tag and age."""
    options = (
        click.option(
            "--state", help="scheduled, blocked, ready, running, succeeded, failed, cancelled."
        ),
        click.option("--queue", "-q", help="Only this queue's."),
        click.option("--task", help="Only this task's."),
        click.option("--tag", help="Only those with this tag."),
        click.option("--older", type=DURATION, help="Enqueued longer ago than this."),
        click.option("--newer", type=DURATION, help="Enqueued since this long."),
    )
    for option in reversed(options):
        command = option(command)
    return command
