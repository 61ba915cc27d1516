"""Runs worker processes for a benchmark, as `howdah worker` does; they die with it.

    python -m howdah.bench.launch PARENT PROCESSES SLOTS

The numbers: the benchmark's process, how many processes, and slots in each (0: the default). The
settings come from the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys

from howdah.events import Events
from howdah.parent import Parent
from howdah.parent.messages import Start
from howdah.parent.program import die_with
from howdah.parent.service import Service
from howdah.source import Source


def main(parent: int, processes: int, slots: int) -> int:
    """Until it is told to stop; gives the exit status."""
    die_with(parent)
    start = Start(
        source=Source(app="howdah.bench.tasks:app"),
        number=1,
        name=f"bench.{os.getpid()}",
        slots=slots or None,
        banner=False,
    )
    workers = Parent(start, processes, ready=lambda settings: settings, events=Events())
    return asyncio.run(Service(workers).run())


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
