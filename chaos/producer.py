"""One producer of a chaos run: says what it is about to enqueue, does it, and says what came of it.

    python -m chaos.producer KIND NUMBER SEED JOBS SECONDS

`ok`: the enqueue returned. `fail`: the server refused it, or it was rolled back: nothing of it may
ever be seen. `info`: nobody can know. Keys are drawn one after the other, so a line names the first
and how many.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg

from chaos.load import KEYS, Spec, spec
from chaos.log import Log
from howdah import App, CommitUncertain
from howdah.job import Job, make_options
from howdah.refusals import server_word

PAUSE = 0.25  # seconds after something went wrong
WITHIN = 15.0  # seconds that one enqueue may take
SQL_TIMEOUT = 1.0  # seconds for which a job without a worker is leased
ENQUEUE = """
select howdah.enqueue(%(task)s, %(args)s::jsonb, queue => %(queue)s, priority => %(priority)s,
                      delay => %(delay)s, id => %(id)s,
                      unique_key => %(unique)s, serial_key => %(serial)s, timeout => %(timeout)s)
"""


def id_of(one: Spec) -> UUID | None:
    """The id that the producer chooses for it, where it does."""
    return UUID(int=(0xC4A05 << 108) | (0x7 << 76) | (0b10 << 62) | one.key) if one.has_id else None


def timeout_of(one: Spec) -> float | None:
    """Those that run in SQL are leased for a moment only."""
    return SQL_TIMEOUT if one.task == "sql" else None


class Producer:
    """Enqueues jobs in step with the time, batch after batch."""

    sizes: tuple[int, ...] = (1,)
    in_bulk = False

    def __init__(self, number: int, seed: int, jobs: int, seconds: float, log: Log) -> None:
        self.chance = Random(f"{seed}/{number}")
        self.first, self.jobs, self.seconds, self.log = number * KEYS, jobs, seconds, log
        self.acknowledged = 0

    async def run(self) -> None:
        """Until so many were acknowledged, or the time is over."""
        asked = 0
        async for count in self.paced():
            specs = [
                spec(self.chance, self.first + asked + n, in_bulk=self.in_bulk)
                for n in range(count)
            ]
            asked += count
            together = [one for one in specs if one.unique is None or len(specs) == 1]
            for part in _consecutive(together):
                await self.tried(part)
            for one in specs:
                if one not in together:
                    await self.tried([one])
        await self.close()

    async def paced(self) -> AsyncIterator[int]:
        """How many to enqueue now, each time when it is time for them."""
        began = time.monotonic()
        while self.acknowledged < self.jobs and time.monotonic() < began + self.seconds * 1.15:
            yield min(self.chance.choice(self.sizes), self.jobs - self.acknowledged)
            due = self.acknowledged / self.jobs * self.seconds * 0.97
            await asyncio.sleep(max(0.0, due - (time.monotonic() - began)))

    async def tried(self, specs: Sequence[Spec]) -> None:
        """Enqueue them, and write down what came of it; a chosen id is asked for until it is in."""
        about: dict[str, Any] = {"k": specs[0].key, "n": len(specs)}
        if specs[0].unique is not None:
            about["u"] = specs[0].unique
        for _ in range(20):
            self.log.write("invoke", **about, **_meant(specs))
            try:
                async with asyncio.timeout(WITHIN):
                    ids = await self.enqueue(specs)
            except RolledBack:
                self.log.write("fail", **about, why="rolled back")
                return
            except Exception as error:
                code = refused(error)
                said = {"why": f"{type(error).__name__}: {error}"[:200]}
                self.log.write("info" if code is None else "fail", **about, code=code, **said)
                await self.recover()
                await asyncio.sleep(PAUSE)
            else:
                self.acknowledged += len(specs)
                shown = ids if specs[0].unique is not None or specs[0].has_id else None
                self.log.write("ok", **about, **({"ids": [*map(str, shown)]} if shown else {}))
                return
            if len(specs) > 1 or not specs[0].has_id or code is not None:
                return  # only an enqueue of which nobody knows, and under an id, is made again

    async def enqueue(self, specs: Sequence[Spec]) -> Sequence[UUID]:
        """Enqueue them in one go; their ids."""
        raise NotImplementedError

    async def recover(self) -> None:
        """After an error."""

    async def close(self) -> None:
        """At the end."""


class RolledBack(Exception):
    """The producer thought better of it."""


def refused(error: Exception) -> str | None:
    """The SQLSTATE of what surely was not done; None when nobody can know."""
    word = server_word(error.__cause__ or error) or server_word(error)
    if word is None or isinstance(error, CommitUncertain):
        return None
    # Class 08, and a backend that was ended: the commit may have been behind it already.
    return None if word.code[:2] == "08" or word.code in {"57P01", "57P02", "57P05"} else word.code


def _meant(specs: Sequence[Spec]) -> dict[str, Any]:
    """What the checker is to hold the store to: tasks, delays and serial keys, by their places."""
    return {
        "j": [one.task for one in specs],
        "d": {n: one.delay for n, one in enumerate(specs) if one.delay is not None},
        "s": {n: one.serial for n, one in enumerate(specs) if one.serial is not None},
    }


def _consecutive(specs: Sequence[Spec]) -> list[list[Spec]]:
    """Runs of keys without a gap."""
    parts: list[list[Spec]] = []
    for one in specs:
        if parts and parts[-1][-1].key + 1 == one.key:
            parts[-1].append(one)
        else:
            parts.append([one])
    return parts


class ByClient(Producer):
    """With the Python client, one by one and by the dozen."""

    sizes: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 10, 30)

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.app = App(os.environ["HOWDAH_DATABASE_URL"])

    async def enqueue(self, specs: Sequence[Spec]) -> Sequence[UUID]:
        if len(specs) == 1:
            return [await self.app.enqueue(job_of(specs[0]))]
        return await self.app.enqueue_many([job_of(one) for one in specs])

    async def close(self) -> None:
        with suppress(Exception):
            await self.app.close()


class InBulk(ByClient):
    """By the hundred, and by the thousand."""

    sizes = (100, 200, 400, 1000, 2000)
    in_bulk = True


class BySql(Producer):
    """With statements of its own, as from psql; some of them in larger transactions."""

    sizes = (1, 1, 1, 5)

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.connection: psycopg.AsyncConnection | None = None

    async def connected(self) -> psycopg.AsyncConnection:
        """Its connection, a new one after an error."""
        if self.connection is None:
            url = os.environ["HOWDAH_DATABASE_URL"]
            self.connection = await psycopg.AsyncConnection.connect(
                url, autocommit=True, connect_timeout=5, prepare_threshold=None
            )
        return self.connection

    async def enqueue(self, specs: Sequence[Spec]) -> Sequence[UUID]:
        connection = await self.connected()
        if len(specs) == 1:
            return [await self.one(specs[0])]
        is_meant = self.chance.random() > 0.2
        ids = []
        try:
            async with connection.transaction():
                ids = [await self.one(one) for one in specs]
                if not is_meant:
                    raise psycopg.Rollback
        except psycopg.Error as error:
            raise error
        if not is_meant:
            raise RolledBack
        return ids

    async def one(self, one: Spec) -> UUID:
        assert self.connection is not None
        delay, timeout = one.delay, timeout_of(one)
        cursor = await self.connection.execute(ENQUEUE, {
            "task": one.task, "args": json.dumps(one.all_args), "id": id_of(one),
            "queue": one.queue, "priority": one.priority,
            "delay": delay and timedelta(seconds=delay), "unique": one.unique,
            "serial": one.serial, "timeout": timeout and timedelta(seconds=timeout),
        })  # fmt: skip
        row = await cursor.fetchone()
        assert row is not None
        found: UUID = row[0]
        return found

    async def recover(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(Exception):
                await asyncio.wait_for(connection.close(), 2.0)

    close = recover


def job_of(one: Spec) -> Job:
    """As the client takes it."""
    options = make_options(
        queue=one.queue,
        priority=one.priority or None,
        delay=one.delay,
        id=id_of(one),
        unique_key=one.unique,
        serial_key=one.serial,
        timeout=timeout_of(one),
    )
    return Job(one.task, json.dumps(one.all_args), options)


KINDS: dict[str, type[Producer]] = {"client": ByClient, "bulk": InBulk, "sql": BySql}


def main(kind: str, number: int, seed: int, jobs: int, seconds: float) -> None:
    """Run one producer to its end."""
    log = Log(Path(os.environ["CHAOS_FOLDER"]) / "log" / f"producer-{number}.jsonl")
    asyncio.run(KINDS[kind](number, seed, jobs, seconds, log).run())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
