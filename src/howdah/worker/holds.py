"""A transactional attempt and its connection: how they meet, and whether it may still finish."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from howdah.call import Call
from howdah.errors import NoDatabase, ReadOnly
from howdah.refusals import server_word
from howdah.worker.connections import Kind, Transaction

if TYPE_CHECKING:
    from howdah.worker.attempt import Attempt

# A backend and the start of its transaction: no setting that the task could reset tells us more.
MARK = """
pg_catalog.pg_backend_pid(), cast(extract(epoch from pg_catalog.transaction_timestamp()) as text)
"""
READ_ONLY = "pg_catalog.current_setting('transaction_read_only') = 'on'"
# On Linux the server is to notice a client that was killed even while a statement runs.
BEGIN = f"""
select {MARK}, {READ_ONLY}, pg_catalog.current_setting('role'),
       case when pg_catalog.strpos(pg_catalog.version(), 'linux') > 0
            then pg_catalog.set_config('client_connection_check_interval', '1s', true) end
"""
# Before the finish, which is ours to do: as the role that began, even after a set local role.
LOOK = f"""
select {MARK}, {READ_ONLY},
       case when pg_catalog.current_setting('role') <> began.role
            then pg_catalog.set_config('role', began.role, false) end
from (select cast($1 as text) as role) as began
"""
GONE = {"25006", "25P03", "57P01", "57P02", "57P03", "57P05"}  # SQLSTATEs, and class 08


class Room:
    """The connections of one kind: at most so many at once."""

    def __init__(self, kind: Kind, *, is_async: bool) -> None:
        self.kind, self.is_async, self.is_closed = kind, is_async, False
        self._free: Any = (asyncio if is_async else threading).Semaphore(kind.size)

    async def enter(self, attempt: Attempt) -> bool:
        """Wait for one to be free; False when the attempt was told to stop meanwhile."""
        if self.is_async:
            await self._free.acquire()
            return True
        while not self._free.acquire(timeout=0.1):
            if attempt.stopping is not None:
                return False
        return True

    def leave(self) -> None:
        """Let the next have it."""
        self._free.release()


class Hold:
    """An attempt and its transaction; and which came first, the finish or the word to stop.

    Attributes:
        pid, since: of the backend, and of its transaction: by these it is known again.
        role: which the session had taken on when it began; "none", as a rule.
        given_up: told to stop before it began to finish: it never will.
        is_over: the transaction is no longer ours to end.
        is_spoilt: the connection is of no further use.
    """

    def __init__(
        self,
        attempt: Attempt,
        room: Room,
        transaction: Transaction,
        *,
        pid: int,
        since: str,
        role: str,
    ) -> None:
        self.attempt, self.room, self.transaction = attempt, room, transaction
        self.pid, self.since, self.role, self.is_async = pid, since, role, room.is_async
        self.given_up = self.is_over = self.is_spoilt = False
        self._is_finishing = False
        self._guard = threading.Lock()

    def may_finish(self) -> bool:
        """Whether to finish now; from then on `give_up` does nothing."""
        with self._guard:
            if self.given_up or self.attempt.stopping is not None:
                self.given_up = True
            else:
                self._is_finishing = True
            return self._is_finishing

    def give_up(self) -> bool:
        """Have it never finish; False if it has begun to."""
        with self._guard:
            if not self._is_finishing:
                self.given_up = True
            return self.given_up


async def begun(room: Room, attempt: Attempt) -> Hold:
    """A transaction that has begun; connections that died while they were idle are passed over.

    Raises ReadOnly, and drops the connection, where the server takes no writes: it is a standby,
    or was told so, and no task is to fail by that.
    """
    for left in reversed(range(room.kind.size + 1)):
        transaction = await room.kind.open()
        try:
            await transaction.begin()
            row = await transaction.run(Call(BEGIN, (), lambda rows: rows[0]))
        except BaseException as error:
            gone = is_gone(transaction, error)
            await transaction.drop()
            if not gone or not left:
                raise
        else:
            pid, since, is_read_only, role = row[:4]
            if is_read_only:
                await transaction.drop()
                raise ReadOnly("the server accepts no writes just now")
            return Hold(attempt, room, transaction, pid=pid, since=since, role=role)
    raise AssertionError  # the last failure was raised


async def leave_behind(hold: Hold) -> None:
    """The connection goes to the next job, or away."""
    if not hold.is_spoilt and not hold.room.is_closed:
        try:
            await hold.transaction.give_back()
        except Exception:
            hold.is_spoilt = True
    if hold.is_spoilt or hold.room.is_closed:
        with suppress(Exception):
            await hold.transaction.drop()


def is_gone(transaction: Transaction, error: BaseException) -> bool:
    """Whether the connection is gone, or the server behind it no longer one to write to."""
    word = server_word(error)
    if word is not None and (word.code[:2] == "08" or word.code in GONE):
        return True
    return transaction.is_lost or isinstance(error, OSError | NoDatabase | ReadOnly)
