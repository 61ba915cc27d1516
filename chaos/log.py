"""What each process of a run writes down: a file that only grows, one write for each line.

A line is one write to the end of the file, so it survives the death of its writer. `t` is of
CLOCK_MONOTONIC, in nanoseconds, which all processes of one machine share: so what came before what
is known exactly.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Log:
    """A file of JSON lines; `write` is safe in threads, and after a fork."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: str, /, **facts: Any) -> None:
        """Add a line, with the moment at which this was called."""
        facts = {"e": what, "t": time.monotonic_ns(), **facts}
        line = json.dumps(facts, separators=(",", ":"), default=str)
        os.write(self._file, line.encode() + b"\n")


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """What was written; a last line that is not whole (a machine that went down) is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)
