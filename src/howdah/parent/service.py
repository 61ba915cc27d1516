"""What stands around a parent: probes, systemd, and starting anew when files change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from howdah.errors import BadInput
from howdah.events import Event, ParentStopping
from howdah.parent import Parent
from howdah.parent.health import Health
from howdah.parent.policy import quiet_after
from howdah.parent.systemd import notify, watchdog_every

log = logging.getLogger("howdah.worker")
RELOAD_WITHIN = 3.0  # seconds for running jobs to end before files that changed are used


class Service:
    """Runs a parent, and tells those who watch it how it is."""

    def __init__(self, parent: Parent, *, health: str | None = None, reload: bool = False) -> None:
        self._parent, self._address, self._reload = parent, address_of(health), reload
        self._files = _watcher() if reload else None
        self._was_up = self._told_of_stopping = False

    async def run(self) -> int:
        """Until the parent has ended; gives its exit status."""
        health = None
        if self._address is not None:
            checks = {"/livez": self.live, "/readyz": self.ready, "/startupz": self.started}
            health = Health(*self._address, checks)
        self._parent.events.subscribe(self._tell_of_stopping)
        beside = [asyncio.create_task(self._tell_systemd(), name="howdah systemd")]
        if self._files is not None:
            beside.append(asyncio.create_task(self._watch_files(), name="howdah reload"))
        for each in beside:
            each.add_done_callback(_say_if_broken)
        try:
            return await self._parent.run()
        finally:
            for each in beside:
                each.cancel()
            if health is not None:
                health.close()

    @property
    def _quiet_after(self) -> float:
        return quiet_after(self._parent.lost_after)

    # Probes: None when all is well

    def live(self) -> str | None:
        """Whether every process turns its loop."""
        silent = [
            f"process {child.number} has been silent for {child.silent:.1f} s"
            for child in [*self._parent.children.values()]
            if child.worker is not None and child.silent > self._quiet_after
        ]
        return "; ".join(silent) or None

    def ready(self) -> str | None:
        """Whether jobs are run: the store answers, and a process claims."""
        if self._parent.is_stopping:
            return "stopping"
        if not self._parent.registered:
            return "no process has registered"
        if self._parent.beaten_at is None:
            return "the store has not answered yet"
        quiet = time.monotonic() - self._parent.beaten_at
        return (
            None if quiet < self._quiet_after else f"the store has not answered for {quiet:.1f} s"
        )

    def started(self) -> str | None:
        """Whether all processes have registered once."""
        self._was_up = self._was_up or self._parent.registered >= self._parent.processes
        if self._was_up:
            return None
        return f"{self._parent.registered} of {self._parent.processes} processes have registered"

    async def _tell_systemd(self) -> None:
        every = watchdog_every()
        told_ready = False
        while True:
            if not told_ready and self.started() is None:
                told_ready = notify(READY="1", STATUS=f"{self._parent.registered} processes")
            if self._parent.is_stopping and not self._told_of_stopping:
                self._told_of_stopping = notify(STOPPING="1")
            if every is not None and told_ready and self.live() is None:
                notify(WATCHDOG="1")
            await asyncio.sleep(min(every or 1.0, 1.0) if told_ready else 0.1)

    def _tell_of_stopping(self, event: Event) -> None:
        if isinstance(event, ParentStopping):
            self._told_of_stopping = notify(STOPPING="1")

    async def _watch_files(self) -> None:
        assert self._files is not None
        async for changed in self._files():
            await self._parent.reload(sorted(changed), within=RELOAD_WITHIN)


def _say_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s has ended: %s", task.get_name(), error)


def address_of(text: str | None) -> tuple[str, int] | None:
    """Host and port of "8080" or "127.0.0.1:8080"; without a host, all addresses."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    with suppress(ValueError):
        if 0 <= int(port) < 65536:
            return host.strip("[]"), int(port)
    raise BadInput(f"{text!r} is no port", hint="Write 8080, or 127.0.0.1:8080.")


def _watcher() -> Callable[[], AsyncIterator[set[str]]]:
    try:
        from watchfiles import PythonFilter, awatch
    except ImportError as error:
        raise BadInput(
            "--reload needs watchfiles", hint='Install it: pip install "howdah[reload]"'
        ) from error
    chatty = logging.getLogger("watchfiles")  # it counts changes; we say what changed
    chatty.setLevel(max(chatty.level, logging.WARNING))

    async def changes() -> AsyncIterator[set[str]]:
        async for found in awatch(Path.cwd(), watch_filter=PythonFilter()):
            yield {path for _, path in found}

    return changes
