"""Transactional tasks: what is done on `ctx.connection` commits with the job's end, or not at all.

Around the call a transaction is open on a connection that this process keeps for the purpose. When
the task has returned, `finish` runs on that same connection, and then it commits. The lease is held
by the claim, as for any job: no row of ours is locked while the task runs. What follows from it:

**The fence decides.** `finish` matches the job by its lease. If the job was given to somebody else,
the store refuses, and everything is rolled back. If it takes it, the job's row stays locked until
the commit, and whoever wants to end the same attempt meanwhile (the finisher with a timeout, a
rescue) waits, or steps over it, and finds it done. So of two ends of an attempt exactly one counts,
whatever we believe here; nothing hangs on our watches being right. They only save work: an attempt
that was told to stop does not begin to finish (`Hold`), and its backend is ended on the server, so
that no statement of its runs on and nothing that still holds the connection can commit.

**A lost connection.** While the task ran: the server rolls back. At commit: it committed or it did
not, and we cannot know. Both end as Crashed, which charges no attempt (a restart of the database
must not use up a job's only one) but counts a crash, so a job that kills its connections fails
after `max_crashes`. It is safe when the commit did happen: the lease is gone, so the Crashed is
refused, and the finisher sees that this very lease succeeded. It is safe when the commit is still
to happen, in a backend that has not noticed: its lock on the job's row makes the Crashed wait. And
it is safe when it never happened: the job still has its lease, and is run again.

**A commit that the server refuses** (a deferred constraint, a serialization failure) is a failed
attempt with that error: the server has rolled back, and the job's retry policy holds.

**A commit whose wait for a standby was cancelled** (CommitUncertain) needs nothing here. It is in
effect on this server; a failover that loses it loses effect and finish together, and the job, whose
claim is older, is run again.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from howdah import jobs
from howdah.call import Call
from howdah.connect import closed, open_connection
from howdah.errors import BadInput, NoDatabase, ReadOnly
from howdah.jobs import storable
from howdah.outcome import Crashed, Failed, Outcome, Released, Retrying, Snoozed, Succeeded
from howdah.refusals import server_word
from howdah.rows import Refused
from howdah.settings import Settings
from howdah.worker.connections import kind_of
from howdah.worker.holds import LOOK, Hold, Room, begun, is_gone, leave_behind

if TYPE_CHECKING:
    from howdah.worker.attempt import Attempt

T = TypeVar("T")
MOST = 20  # connections of one kind in a process; more jobs than that wait for one
GRACE = 0.5  # seconds for a coroutine that was cancelled to end by itself
FINISH_WITHIN = 30.0  # seconds for finish and commit, until the connection counts as lost
# Only while it is in the transaction that we mean: a process id may be somebody else's by now.
END = """
select pg_catalog.pg_terminate_backend(a.pid) from pg_catalog.pg_stat_activity a
where a.pid = $1 and cast(extract(epoch from a.xact_start) as text) = $2
"""


class Transactions:
    """Performs transactional attempts of this process, each on a connection of its kind.

    `connection_kind` of the attempt names the kind. `close` when the process ends.
    """

    def __init__(self, settings: Settings, *, size: int = MOST) -> None:
        self._settings, self._size = settings, size
        self._kinds: dict[tuple[str, bool], Room] = {}
        self._guard = threading.Lock()
        self._ends: set[asyncio.Task[None]] = set()

    async def perform(self, attempt: Attempt, call: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """What came of a coroutine function's attempt; `is_stored` says if that is stored."""
        return await self._perform(attempt, call, is_async=True)

    def perform_here(self, attempt: Attempt, call: Callable[[], Outcome]) -> Outcome:
        """The same of a plain function, in the thread that asks."""

        async def called() -> Outcome:
            return call()

        return _without_loop(self._perform(attempt, called, is_async=False))

    async def close(self, within: float = 2.0) -> None:
        """Close what is idle; what a thread left behind still uses is closed by it."""
        if self._ends:
            await asyncio.wait(self._ends, timeout=within)
        with self._guard:
            rooms = [*self._kinds.values()]
            self._kinds.clear()
        for room in rooms:
            room.is_closed = True
            with suppress(Exception):
                async with asyncio.timeout(within + 0.1):  # most have an end of their own
                    await room.kind.close()

    def _room(self, name: str, *, is_async: bool) -> Room:
        with self._guard:
            room = self._kinds.get((name, is_async))
            if room is None:
                kind = kind_of(name, self._settings, self._size, is_async=is_async)
                room = self._kinds[name, is_async] = Room(kind, is_async=is_async)
            return room

    async def _perform(
        self, attempt: Attempt, call: Callable[[], Awaitable[Outcome]], *, is_async: bool
    ) -> Outcome:
        attempt.wait()
        try:
            assert attempt.connection_kind is not None
            room = self._room(attempt.connection_kind, is_async=is_async)
            if not await room.enter(attempt):
                return attempt.stopped()
        except Exception as error:  # psycopg, SQLAlchemy or Django is not installed, or not set up
            return attempt.failed_by(error)
        try:
            try:
                hold = await begun(room, attempt)
            except Exception as error:
                return _not_begun(attempt, error)
            attempt.begin()
            return await self._within(hold, call)
        finally:
            room.leave()

    async def _within(self, hold: Hold, call: Callable[[], Awaitable[Outcome]]) -> Outcome:
        hold.attempt.connection = hold.transaction.connection
        hold.attempt.tell(partial(self._told, hold))
        try:
            outcome = await self._ended(
                hold, hold.attempt.stopped() if hold.given_up else await call()
            )
        except BaseException:
            hold.is_spoilt = True
            raise
        finally:
            hold.is_over = True
            hold.attempt.connection = None
            await leave_behind(hold)
        return outcome

    async def _ended(self, hold: Hold, outcome: Outcome) -> Outcome:
        """Commit a success with its finish, roll back anything else; what then came of it."""
        if not isinstance(outcome, Succeeded):
            return await self._undone(hold, outcome)
        if not hold.may_finish():
            return await self._undone(hold, hold.attempt.stopped())
        try:
            async with _at_most(FINISH_WITHIN, hold):
                refused = await _finish(hold, outcome)
        except Exception as error:
            return await self._refused_by(hold, error)
        hold.attempt.is_stored = True
        if not refused:
            return outcome
        said = "the job was given to another worker; what was done here is rolled back"
        if refused[0].reason == "done":
            said = "this attempt was finished before; what was done here is rolled back"
        return await self._undone(
            hold, hold.attempt.end(Released, reason=refused[0].reason, error=said)
        )

    async def _undone(self, hold: Hold, outcome: Outcome) -> Outcome:
        """Roll back. An attempt that was told to stop may be in mid statement: end its backend."""
        if hold.given_up:
            hold.is_spoilt = True
            self._end_backend(hold)
            return outcome
        hold.is_spoilt = hold.transaction.is_lost  # Django's would connect again
        try:
            await hold.transaction.rollback()
        except Exception as error:
            hold.is_spoilt = True
            if not is_gone(hold.transaction, error):  # it is in use, by something left running
                self._end_backend(hold)
                return outcome
        if hold.transaction.is_lost:
            hold.is_spoilt = True
        if hold.is_spoilt and isinstance(outcome, Retrying | Failed):
            return _lost(hold.attempt, outcome.error)
        return outcome

    async def _refused_by(self, hold: Hold, error: Exception) -> Outcome:
        """What came of a success that could not be finished, or not be committed."""
        attempt = hold.attempt
        if is_gone(hold.transaction, error):
            hold.is_spoilt = True
            self._end_backend(hold)
            return _lost(attempt, str(error) or type(error).__name__)
        if isinstance(error, _NotOurs):
            hold.is_spoilt = True
            return attempt.end(Failed, error=str(error), reason="error")
        word = server_word(error)
        if isinstance(error, BadInput):
            outcome = attempt.bad_result(error.message)
        elif word is not None and word.code == "25P02":
            outcome = attempt.failed_by(_Aborted())
        else:
            outcome = attempt.failed_by(error)
        return await self._undone(hold, outcome)

    # Being told to stop

    def _told(self, hold: Hold, _why: str) -> None:
        """Called on the loop, or in the thread that is about to call the task."""
        handle = hold.attempt.handle
        is_before_finish = hold.give_up()
        if handle is None or hold.is_over:  # without a loop: whoever tells it ends the process
            return
        loop = handle.get_loop()
        after = GRACE if hold.is_async or not is_before_finish else 0.0
        with suppress(RuntimeError):  # the loop has ended, and the worker with it
            if is_before_finish:
                loop.call_soon_threadsafe(handle.cancel)
            loop.call_soon_threadsafe(loop.call_later, after, self._end_late, hold)

    def _end_late(self, hold: Hold) -> None:
        if not hold.is_over:
            self._end_backend(hold)

    def _end_backend(self, hold: Hold) -> None:
        """Have the server end the transaction, whatever it is at; needs a loop, and is no haste."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # a thread: the loop does it when it tells the attempt to stop
        ending = loop.create_task(self._terminate(hold), name="howdah end of a transaction")
        self._ends.add(ending)
        ending.add_done_callback(self._ends.discard)

    async def _terminate(self, hold: Hold) -> None:
        with suppress(Exception):  # the database is away, and the backend with it
            connection = await open_connection(
                self._settings, name=f"howdah ends {hold.pid}", timeout=5.0, answer_within=5.0
            )
            try:
                await connection.fetch(END, hold.pid, hold.since)
            finally:
                await closed(connection)


class _NotOurs(Exception):
    def __init__(self) -> None:
        super().__init__(
            "the task ended the transaction of ctx.connection by itself (commit or rollback): its "
            "effects cannot be tied to the job's end any more, so it is not tried again.\nLeave "
            "commit and rollback to the worker; use savepoints inside the task."
        )


class _MadeReadOnly(Exception):
    def __init__(self) -> None:
        super().__init__(
            "the task made the transaction of ctx.connection read-only: its end, which is a write, "
            "cannot be stored in it.\nLeave transaction_read_only alone, or take another delivery "
            "than transactional for a task that only reads."
        )


class _Aborted(Exception):
    def __init__(self) -> None:
        super().__init__(
            "the task returned although a statement on ctx.connection had failed: nothing of it "
            "can be committed.\nLet the error out, or put that statement in a savepoint."
        )


def _not_begun(attempt: Attempt, error: Exception) -> Outcome:
    """No connection, so the task did not start: later, if there is hope; no attempt is charged."""
    is_away = isinstance(error, NoDatabase | ReadOnly | OSError) or "OperationalError" in {
        kind.__name__ for kind in type(error).__mro__
    }
    if not is_away:
        return attempt.failed_by(error)
    return attempt.end(
        Snoozed,
        error=storable(f"no connection for its transaction: {error}"),
        reason="no connection",
        retry_in=random.uniform(1.0, 3.0),
    )


async def _finish(hold: Hold, outcome: Outcome) -> list[Refused]:
    """Finish inside the transaction that was begun for it, and commit, unless it is refused."""
    look = Call(LOOK, (hold.role,), lambda rows: rows[0])
    pid, since, is_read_only = (await hold.transaction.run(look))[:3]
    if (pid, since) != (hold.pid, hold.since):
        raise _NotOurs
    if is_read_only:  # it was not when it began
        raise _MadeReadOnly
    refused = await hold.transaction.run(jobs.finish_one(outcome))
    if not refused:
        await hold.transaction.commit()
    return refused


def _lost(attempt: Attempt, error: str | None) -> Outcome:
    said = storable(f"the connection of its transaction was lost: {error}")
    return attempt.end(Crashed, error=said, reason="connection lost")


def _at_most(length: float, hold: Hold) -> AbstractAsyncContextManager[Any]:
    """A deadline on the loop; a thread's is the connection's own tcp_user_timeout."""
    return asyncio.timeout(length) if hold.is_async else nullcontext()


def _without_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits: all that it awaits has blocked instead."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a plain function's transaction waited for a loop")
