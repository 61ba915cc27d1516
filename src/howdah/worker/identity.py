"""Who a worker is: what it tells the store of itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from importlib.metadata import version
from uuid import UUID, uuid4

from howdah import workers
from howdah.call import Call
from howdah.errors import BadInput
from howdah.workers import Control


class Identity:
    """A worker's id, which changes when it was swept, and what does not change."""

    def __init__(
        self,
        *,
        name: str | None,
        queues: Sequence[str],
        tasks: Sequence[str],
        slots: int,
        lost_after: float | None,
        direct: bool,
    ) -> None:
        if name and (not isinstance(name, str) or len(name) > 200):
            raise BadInput(f"{name!r} cannot be a worker's name", hint="Use up to 200 characters.")
        self.host, self.pid = socket.gethostname(), os.getpid()
        self.name = name or f"{self.host}.{self.pid}"
        self.queues, self.tasks, self.slots = tuple(queues), tuple(tasks), slots
        self.lost_after, self._direct = lost_after, direct
        self.id: UUID = uuid4()

    @property
    def short(self) -> str:
        """How notifications name it."""
        return str(self.id)[:8]

    @property
    def lock_key(self) -> int | None:
        """The session advisory lock that shows an early death; None behind a pooler."""
        return int.from_bytes(self.id.bytes[:8], "big", signed=True) if self._direct else None

    def renew(self) -> None:
        """Take a new id: the old one was swept."""
        self.id = uuid4()

    def registration(self) -> Call[Control]:
        """The heartbeat that registers it."""
        return workers.heartbeat(
            self.id,
            name=self.name,
            host=self.host,
            pid=self.pid,
            version=version("howdah"),
            queues=self.queues,
            tasks=self.tasks,
            slots=self.slots,
            lost_after=self.lost_after,
            lock_key=self.lock_key,
        )


def session_lock(key: int) -> Call[None]:
    """Takes the lock for as long as the session lasts.

    A session of ours that still has it was cut off from us, which the server may not notice for
    hours, and then take for our death: it is ended first.
    """
    return Call(_LOCK, (key,), lambda _: None)


_LOCK = """
select pg_try_advisory_lock(mine.key)
from (select cast($1 as bigint) as key) as mine,
     lateral (select count(pg_terminate_backend(l.pid, 1000))
              from pg_locks l join pg_stat_activity a on a.pid = l.pid
              where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
                and l.database = (select oid from pg_database where datname = current_database())
                and (l.classid::bigint << 32 | l.objid::bigint) = mine.key
                and a.usename = current_user and l.pid <> pg_backend_pid()) as ended
"""
