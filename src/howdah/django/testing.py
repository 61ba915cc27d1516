"""For Django's tests: look at what was enqueued, and run it, inside a TestCase's transaction.

class SignUp(TestCase):
    def test_a_new_user_is_welcomed(self):
        self.client.post("/sign-up", {"email": "ada@example.org"})

        self.assertTrue(enqueued(send_welcome, args={"user_id": 1}))
        run_all()
        self.assertEqual(len(mail.outbox), 1)
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction

from howdah import jobs, store
from howdah.blocking import finished
from howdah.context import leave
from howdah.django import conf
from howdah.django.project import app
from howdah.durations import Duration, seconds
from howdah.errors import BadInput
from howdah.outcome import Outcome
from howdah.rows import Claimed, Found
from howdah.task import Task
from howdah.testing.looking import all_jobs, clock_ahead, with_args
from howdah.testing.performing import MOST, Here, check_count, known
from howdah.worker.means import Means
from howdah.worker.threads import Threads
from howdah.worker.transactions import Transactions

__all__ = ["advance", "arun_all", "enqueued", "run_all"]


def enqueued(
    task: Task[..., Any] | str | None = None,
    *,
    args: Mapping[str, Any] | None = None,
    queue: str | None = None,
    state: str | None = None,
    tag: str | None = None,
) -> list[Found]:
    """The jobs that fit, live or finished, in order; `args`: that have at least these."""
    found = app.sync_client.run(all_jobs(task, queue=queue, state=state, tag=tag))
    return with_args(found, args)


def run_all(*, queues: Sequence[str] | None = None, raises: bool = True, most: int = MOST) -> int:
    """Run what is ready, and what that enqueues, on Django's connection and in this thread, until
    nothing is left; gives how many attempts there were.

    What a task raises is raised here, once its failure is stored; with `raises=False` it is left
    to the job's retries (see `advance`). A transactional task needs connection="django": others'
    connections do not see what the test has not committed.
    """
    transactions = Transactions(app.settings, size=1)
    means = Means(threads=Threads(), transactions=transactions)
    ran = 0
    while True:
        app.sync_client.run(store.stage())
        claimed = app.sync_client.run(jobs.claim(queues, n=1))
        if not claimed:
            return ran
        check_count(ran, most)
        ran += 1
        attempt, outcome = _attempted(claimed[0], means)
        if not attempt.is_stored:
            app.sync_client.run(jobs.finish([outcome]))
        if raises:
            attempt.surface(outcome)


async def arun_all(**how: Any) -> int:
    """The same in an async test."""
    return await sync_to_async(run_all)(**how)


def advance(duration: Duration) -> None:
    """Move the store's clock forward, until the test's transaction is rolled back."""
    connection = conf.connection()
    if not connection.in_atomic_block:
        raise BadInput(
            "the store's clock would stay ahead after this test",
            hint="Use it in a TestCase, whose transaction is rolled back.",
        )
    ahead = getattr(connection, "howdah_ahead", (None, 0.0))
    within = connection.atomic_blocks[0] if connection.atomic_blocks else None
    total = (ahead[1] if ahead[0] is within else 0.0) + seconds(duration)
    connection.howdah_ahead = (within, total)
    with connection.cursor() as cursor:
        cursor.execute(clock_ahead(total).render(conf.schema()))


def _attempted(claimed: Claimed, means: Means) -> tuple[Here, Outcome]:
    task = known(app.tasks, claimed)
    is_async = inspect.iscoroutinefunction(task.function)
    attempt = Here(claimed, task, means, "loop" if is_async else "thread")
    with _survivable():
        outcome = async_to_sync(attempt.run)() if is_async else finished(attempt.run())
    leave()
    return attempt, outcome


@contextmanager
def _survivable() -> Iterator[None]:
    """A statement that fails breaks the test's whole transaction: then go back to before the job.

    What it wrote before that would be there in production, where each statement commits.
    """
    connection = conf.connection()
    if not connection.in_atomic_block:
        yield
        return
    before = transaction.savepoint(using=connection.alias)
    yield
    if connection.needs_rollback or connection.connection.info.transaction_status == _BROKEN:
        transaction.set_rollback(False, using=connection.alias)
        transaction.savepoint_rollback(before, using=connection.alias)
    else:
        transaction.savepoint_commit(before, using=connection.alias)


_BROKEN = 3  # INERROR, as psycopg 2 and 3 have it
