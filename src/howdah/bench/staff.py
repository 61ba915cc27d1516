"""The workers of a benchmark: processes with a parent, as `howdah worker` has them."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import fields
from typing import IO, Any, Self

from howdah import workers
from howdah.bench import processes
from howdah.client import on
from howdah.errors import HowdahError
from howdah.settings import Settings

READY_WITHIN = 60.0  # seconds
LEAVES_WITHIN = 15.0  # seconds
LOOK_EVERY = 0.02  # seconds
LOG_LINES = 8


class Staff:
    """So many idle worker processes, within `async with`; their log lines go to a file.

    They run as in production, where a job that succeeds is not worth a line.
    """

    def __init__(
        self, connection: Any, settings: Settings, count: int, *, slots: int | None = None
    ) -> None:
        self._door = on(connection, schema=settings.schema)
        self._settings, self._count, self._slots = settings, count, slots
        self._log: IO[bytes] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pids(self) -> list[int]:
        """All processes, the parent's too."""
        assert self._process is not None
        return processes.family(self._process.pid)

    async def __aenter__(self) -> Self:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the processes
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "howdah.bench.launch"),
            *(str(os.getpid()), str(self._count), str(self._slots or 0)),
            env=os.environ | environment(self._settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,  # a Ctrl-C is ours to tell
        )
        try:
            await self._all_idle()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def _all_idle(self) -> None:
        """Until each has registered and has found nothing to do."""
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN
        while sum(worker.idle for worker in await self._door.run(workers.list())) < self._count:
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise HowdahError(
                    f"the {self._count} worker processes did not start", hint=self._last_lines()
                )
            await asyncio.sleep(LOOK_EVERY)

    async def _leave(self) -> None:
        assert self._process is not None
        assert self._log is not None
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(LEAVES_WITHIN):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()  # its children die with it
            await self._process.wait()
        finally:
            self._log.close()

    def _last_lines(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        return "They said:\n" + "\n".join(said) if said else "They said nothing."


def environment(settings: Settings) -> dict[str, str]:
    """The variables by which another process comes to these settings, in production."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    values |= {"env": "production", "app": None}
    return {
        f"HOWDAH_{name.upper()}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None
    }
