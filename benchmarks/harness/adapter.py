"""A peer's adapter as a process: told what to do, and heard, one JSON line at a time."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from harness.install import Installed

READY_WITHIN = 60.0  # seconds
ENDS_WITHIN = 10.0  # seconds


class Broke(Exception):
    """The adapter ended, or did not answer; with its last words."""


class Adapter:
    """One process of a peer; ended with the block, with all it has started."""

    def __init__(
        self, installed: Installed, column: str, what: str, environment: Mapping[str, str]
    ) -> None:
        self._command = [*installed.command, column, what]
        self._environment = {**os.environ, **installed.environment, **environment}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.last: dict[str, Any] = {}  # the latest that a worker said

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session only
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ended(self) -> None:
        """Wait for an adapter that ends by itself, such as a setup; raises Broke if it failed."""
        try:
            status = self._process.wait(READY_WITHIN)
        except subprocess.TimeoutExpired:
            raise Broke(f"it did not end: {self._last_words()}") from None
        if status != 0:
            raise Broke(f"status {status}: {self._last_words()}")

    def ask(self, within: float, /, **order: Any) -> dict[str, Any]:
        """Tell it what to do, and wait for the answer."""
        self.tell(**order)
        return self.hear(within)

    def tell(self, **order: Any) -> None:
        """Tell it what to do."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise Broke(f"it is gone: {self._last_words()}") from None

    def hear(self, within: float) -> dict[str, Any]:
        """The next it says."""
        try:
            message = self._lines.get(timeout=within)
        except queue.Empty:
            raise Broke(f"silent for {within:.0f} s: {self._last_words()}") from None
        if message is None:
            raise Broke(f"it ended: {self._last_words()}")
        return message

    def look(self) -> dict[str, Any]:
        """The latest of what a worker has said: how many it started, and when the first."""
        while True:
            try:
                message = self._lines.get_nowait()
            except queue.Empty:
                return self.last
            if message is None:
                raise Broke(f"it ended: {self._last_words()}")
            self.last = message

    def stop(self) -> dict[str, Any]:
        """End a worker; gives its last message, with how late each job was."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        deadline = time.monotonic() + ENDS_WITHIN
        while "late" not in self.last:
            self.last = self.hear(max(0.1, deadline - time.monotonic()))
        return self.last

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"{"):  # some peers print, too
                self._lines.put(json.loads(line))
        self._lines.put(None)

    def _last_words(self) -> str:
        self._errors.seek(0)
        return " / ".join(self._errors.read().decode(errors="replace").strip().splitlines()[-4:])
