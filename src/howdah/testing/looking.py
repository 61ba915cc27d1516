"""What a test asks the store: which jobs were enqueued; and the store's clock, moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from howdah import jobs
from howdah.call import Call, nothing
from howdah.durations import Duration, seconds
from howdah.rows import Found
from howdah.task import Task

MANY = 10_000
# A function of the owner's, in a test database: no setting of a user can move the clock.
CLOCK = """
create or replace function _{{schema}}.clock() returns timestamptz language sql volatile
parallel safe return pg_catalog.clock_timestamp() + interval '{ahead:.6f} s'
"""


def all_jobs(
    task: Task[..., Any] | str | None, *, queue: str | None, state: str | None, tag: str | None
) -> Call[Sequence[Found]]:
    """The jobs of a task, newest first."""
    name = task.name if isinstance(task, Task) else task
    return jobs.list(state=state, queue=queue, task=name, tag=tag, limit=MANY)


def with_args(found: Sequence[Found], args: Mapping[str, Any] | None) -> list[Found]:
    """Those that have at least these arguments, in the order in which they were enqueued."""
    wanted = msgspec.to_builtins(dict(args or {}), str_keys=True)

    def fits(job: Found) -> bool:
        has = msgspec.json.decode(job.args)
        return all(name in has and has[name] == value for name, value in wanted.items())

    return sorted((job for job in found if fits(job)), key=lambda job: job.created_at)


def clock_ahead(by: Duration) -> Call[None]:
    """Have the store's clock go ahead of the real one by so much."""
    return Call(CLOCK.format(ahead=seconds(by)), (), nothing)
