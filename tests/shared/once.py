"""What is made once in a run, by whichever of its processes comes first."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """The run's folder of that name, which is gone after the run; `make` fills it."""
    of_the_run = Path(os.environ["HOWDAH_TEST_FOLDER"])
    made = of_the_run / name
    with (of_the_run / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            workshop = of_the_run / f"{name}.new"
            shutil.rmtree(workshop, ignore_errors=True)
            make(workshop)
            workshop.rename(made)
    return made
