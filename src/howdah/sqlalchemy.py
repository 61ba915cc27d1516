"""Howdah with SQLAlchemy and Alembic: `Job` maps the view howdah.jobs, to query and to insert.

    session.add(Job(task="mail.send", args={"user_id": 42}))            # enqueues when flushed
    session.scalars(select(Job).where(Job.state == "failed"))
    on(session).enqueue(send.job(42))                                   # typed and checked

In an Alembic migration `op.howdah_upgrade()` installs the schema, or brings it to the version of
the package, in Alembic's own transaction; `op.howdah_downgrade()` drops it with all jobs. Import
`howdah.alembic` in the migration, or in env.py, to have them.

Under another schema name: `engine.execution_options(schema_translate_map={"howdah": "queue"})`.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, FetchedValue, Integer, Interval, Text, Uuid, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column

from howdah import blocking
from howdah.doors import on
from howdah.errors import BadInput
from howdah.job import make_options
from howdah.settings import default_schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Base", "Job", "downgrade", "include_name", "on", "upgrade"]


class Base(DeclarativeBase):
    """A registry of its own: `create_all` and autogenerate of the user's metadata never see it."""


def _made(kind: Any) -> Any:
    """A column that the store fills where it is not given; read anew after a flush."""
    return mapped_column(kind, server_default=FetchedValue())


MOMENT, JSON = DateTime(timezone=True), JSONB(none_as_null=True)


class Job(Base):
    """Every job, live and finished. What is added enqueues; changing and deleting is refused.

    Of those that one adds, `task` is needed, the engine alone sets `state`, `attempt` and the
    like, and all else takes its default. What was not given is read when it is first asked for
    after the flush (of an AsyncSession: after `await session.refresh(job)`).
    """

    __tablename__ = "jobs"
    __table_args__ = {"schema": "howdah"}  # noqa: RUF012 - SQLAlchemy's own shape
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - an insert into a view returns none
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, server_default=FetchedValue())
    task: Mapped[str] = mapped_column(Text)
    args: Mapped[dict[str, Any]] = _made(JSON)
    queue: Mapped[str] = _made(Text)
    priority: Mapped[int] = _made(Integer)
    run_at: Mapped[datetime] = _made(MOMENT)
    max_attempts: Mapped[int] = _made(Integer)
    timeout: Mapped[timedelta | None] = _made(Interval)
    delivery: Mapped[str] = _made(Text)
    unique_key: Mapped[str | None] = _made(Text)
    headers: Mapped[dict[str, Any] | None] = _made(JSON)
    tags: Mapped[list[str] | None] = _made(ARRAY(Text))
    state: Mapped[str] = _made(Text)
    attempt: Mapped[int] = _made(Integer)
    created_at: Mapped[datetime] = _made(MOMENT)
    started_at: Mapped[datetime | None] = _made(MOMENT)
    finished_at: Mapped[datetime | None] = _made(MOMENT)
    worker: Mapped[UUID | None] = _made(Uuid)
    result: Mapped[Any] = _made(JSON)
    error: Mapped[str | None] = _made(Text)
    crashes: Mapped[int] = _made(Integer)
    leased_until: Mapped[datetime | None] = _made(MOMENT)
    serial_key: Mapped[str | None] = _made(Text)
    limit_keys: Mapped[list[str] | None] = _made(ARRAY(Text))
    cursor: Mapped[Any] = _made(JSON)
    progress: Mapped[Any] = _made(JSON)

    def __repr__(self) -> str:
        return f"<Job {self.task} {self.id}>"


@event.listens_for(Job, "before_update")
@event.listens_for(Job, "before_delete")
def _refuse(_mapper: Mapper[Job], _connection: Connection, job: Job) -> None:
    raise BadInput(
        f"{job!r} is the engine's to change",
        hint="Use a verb: on(session).run(jobs.cancel(job.id)); or retry, run_now, delete.",
    )


@event.listens_for(Job, "before_insert")
def _check(_mapper: Mapper[Job], _connection: Connection, job: Job) -> None:
    """A time without its zone would be one of the session's, hours away."""
    make_options(run_at=job.run_at)


def upgrade(connection: Connection, schema: str | None = None) -> list[str]:
    """Install the schema, or bring it to this version; gives the migrations that were applied.

    Of an AsyncConnection: `await connection.run_sync(upgrade)`.
    """
    return blocking.upgrade(connection, schema or default_schema())


def downgrade(connection: Connection, schema: str | None = None) -> None:
    """Drop the schema with all jobs and their history."""
    blocking.remove(connection, schema or default_schema())


def include_name(name: str | None, kind: str, parents: Any) -> bool:
    """For Alembic's `context.configure(include_name=…)`, so that autogenerate of several schemas
    leaves ours alone.
    """
    ours = {default_schema(), f"_{default_schema()}"}
    return not (kind == "schema" and name in ours)


if "alembic" in sys.modules:
    import howdah.alembic  # noqa: F401 - which gives `op` its verbs
