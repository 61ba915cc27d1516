"""Starts the embedded server again when the command that owned it has ended before a worker."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Thread

from howdah import embedded
from howdah.errors import HowdahError
from howdah.events import DatabaseLost, Event


class Keeper:
    """Subscribes to a worker's events: `app.events.subscribe(Keeper(root))`.

    A server that was stopped on purpose (`howdah db stop`) is left alone: its owner is alive
    still, or it had none.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._server = embedded.running(root)
        self._thread: Thread | None = None

    def __call__(self, event: Event) -> None:
        """When the database is lost, see in a thread of its own whether its owner has ended."""
        if isinstance(event, DatabaseLost) and not (self._thread and self._thread.is_alive()):
            self._thread = Thread(target=self._keep, name="howdah keeper", daemon=True)
            self._thread.start()

    def _keep(self) -> None:
        owner = self._server.owner if self._server else None
        if owner is not None and not _is_alive(owner):
            with suppress(HowdahError):  # the worker goes on trying, and so do we
                self._server = embedded.ensure(self._root)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
