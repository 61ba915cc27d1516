"""Ends what children have started, should their parent be killed: a shell that waits for that.

The kernel kills the children themselves (see program.die_with), but not what their jobs started.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection
from contextlib import suppress

# The last line that arrived names the process groups; the end of the pipe is the parent's end.
PROGRAM = """
trap '' TERM INT HUP
groups=
while read -r line; do groups=$line; done
for group in $groups; do kill -9 "-$group"; done
"""
ENDS_WITHIN = 1.0  # seconds


class Guard:
    """Knows the process groups that are to die with this process. Without a shell: does nothing."""

    def __init__(self) -> None:
        self._groups: tuple[int, ...] = ()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, groups: Collection[int]) -> None:
        """From now on these, and no others."""
        self._groups = tuple(sorted(groups))
        if self._closed:
            return
        if not self._tell():  # it was not there yet, or somebody ended it
            self._start()
            self._tell()

    def close(self) -> None:
        """Nothing is left to be ended."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                os.write(process.stdin.fileno(), b"\n")
            with suppress(OSError):
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(ENDS_WITHIN)

    def _tell(self) -> bool:
        if self._process is None or self._process.stdin is None:
            return False
        line = " ".join(map(str, self._groups)) + "\n"
        try:
            os.write(self._process.stdin.fileno(), line.encode())
        except BlockingIOError:  # it is stopped, and has much to read
            return True
        except OSError:
            return False
        return True

    def _start(self) -> None:
        self._end()
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # what the terminal sends is not for it
            )
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)
