"""A shell into which the commands of a page are typed, block by block."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

PATIENCE = 90.0  # seconds, for a block
STAYS = re.compile(r"(?m)^((?:python manage\.py )?howdah worker\b(?!.*(?:--burst|&\s*$))[^#\n]*)")
READY = "  tasks    "  # the last line of a worker's banner


class Terminal:
    """One bash: what a block exports, starts or goes into is there for the next one.

    A worker in the foreground, which would stay for ever, is started as in a terminal beside.
    Whoever asks whether to go on is answered with yes.
    """

    def __init__(self, folder: Path, env: dict[str, str], patience: float = PATIENCE) -> None:
        self.patience = patience
        self._log = folder.with_name(f"{folder.name}-{id(self)}.log")
        self._ours, theirs = pty.openpty()
        self._ends, told = os.pipe()
        with self._log.open("wb") as log:
            self._bash = subprocess.Popen(
                ["/bin/bash", "--noprofile", "--norc", "-e", "-o", "pipefail"],
                cwd=folder, env=env, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                pass_fds=(theirs, told), start_new_session=True,
            )  # fmt: skip
        os.close(theirs)
        os.close(told)
        self._theirs, self._told = theirs, told

    def type(self, commands: str) -> str:
        """What the commands print; raises AssertionError when one of them fails."""
        start = self._log.stat().st_size
        commands, workers = STAYS.subn(r"\1 & ", commands)
        os.write(self._ours, b"y\n")
        ended = self._typed(commands)
        if workers and ended:
            self._wait_for(READY, start)
        said = self._said(start)
        assert ended, f"a command failed, or took too long:\n{commands}\n{said}"
        return said

    def _typed(self, commands: str) -> bool:
        assert self._bash.stdin is not None
        block = f"{{\n{commands}\n}} <&{self._theirs} {self._told}>&-\necho >&{self._told}\n"
        self._bash.stdin.write(block.encode())
        self._bash.stdin.flush()
        readable, _, _ = select.select([self._ends], [], [], self.patience)
        return bool(readable) and os.read(self._ends, 1) != b""

    def _said(self, start: int) -> str:
        return self._log.read_bytes()[start:].decode()

    def _wait_for(self, word: str, start: int) -> None:
        until = time.monotonic() + PATIENCE
        while word not in self._said(start) and time.monotonic() < until:
            time.sleep(0.02)

    def close(self) -> None:
        """End all that was started here, workers in their own time."""
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._signal(signal.SIGTERM)
        self._bash.wait(PATIENCE)
        until = time.monotonic() + PATIENCE
        while self._signal(0) and time.monotonic() < until:
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        os.close(self._ours)
        os.close(self._ends)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._bash.pid, number)
        except ProcessLookupError:
            return False
        return True
