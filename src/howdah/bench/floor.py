"""How soon another process can have a bare row: it hears a notification, and updates that row.

No queue on this machine starts a job sooner. The other process is this module, run as

    python -m howdah.bench.floor PARENT CHANNEL

with the settings in its environment; a line on stdout for each row: nanoseconds since it was sent.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any, Self
from uuid import UUID

from howdah.bench import bare
from howdah.bench.rig import Rig
from howdah.bench.staff import environment
from howdah.connect import closed, open_connection
from howdah.errors import HowdahError
from howdah.parent.program import die_with
from howdah.settings import Settings, load

READY_WITHIN = 20.0  # seconds
ANSWERS_WITHIN = 10.0


class Floor:
    """That process, within `async with`."""

    def __init__(self, r: Rig) -> None:
        self._rig = r
        self._channel = f"{r.settings.schema}_floor"
        self._tell = bare.insert_and_tell(r.connection, r.store)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await bare.make_table(self._rig.connection, self._rig.store)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "howdah.bench.floor", str(os.getpid()), self._channel),
            env=os.environ | environment(self._rig.settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is ours to tell
        )
        try:
            await self._line(READY_WITHIN)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()  # it has nothing to lose
        await self._process.wait()

    async def one(self) -> None:
        """Send a row."""
        await self._tell(self._channel, str(time.monotonic_ns()))

    async def answer(self) -> float:
        """Of the next row: milliseconds from before it was sent until the other had it."""
        return int(await self._line(ANSWERS_WITHIN)) / 1e6

    async def _line(self, within: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise HowdahError("the process that was to have bare rows does not answer")
        return line


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _have_rows(settings: Settings, channel: str) -> None:
    listener = await open_connection(settings, name="howdah bench floor listener")
    taker = await open_connection(settings, name="howdah bench floor")
    told: asyncio.Queue[str] = asyncio.Queue()

    def heard(*event: Any) -> None:
        told.put_nowait(event[3])

    try:
        update = await taker.prepare(bare.take(f"_{settings.schema}"))
        await listener.add_listener(channel, heard)
        _say("ready")
        while True:
            sent_at, row = (await told.get()).split()
            await update.fetch(UUID(row))
            _say(str(time.monotonic_ns() - int(sent_at)))
    finally:
        await closed(listener)
        await closed(taker)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    asyncio.run(_have_rows(load().settings, sys.argv[2]))
