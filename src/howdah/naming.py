"""What a function's task is called: its dotted name, as those have it who import its module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from howdah.errors import BadInput

MAIN = "__howdah_main__"  # what __main__ is called where another process of ours loads it


def dotted_name(function: Callable[..., Any]) -> str:
    """The function's name from its module on: `jobs.send_welcome`; `jobs.make_app.send_welcome`
    for one that `make_app` defines.
    """
    qualname: str = getattr(function, "__qualname__", "").replace(".<locals>", "")
    if not qualname or "<" in qualname:
        raise BadInput(
            f"{function!r} has no name of its own",
            hint='Give the task one: @app.task(name="…").',
        )
    return f"{_importable(function.__module__)}.{qualname}"


def _importable(module: str) -> str:
    """As others import it: jobs that a script enqueues are for workers that import the script."""
    if module not in {"__main__", "__mp_main__", MAIN}:
        return module
    program = sys.modules.get(module)
    if (name := run_as_module(program)) is not None:
        return name
    file = getattr(program, "__file__", None)
    return Path(file).stem if file else "__main__"


def package_of(function: Callable[..., Any]) -> str:
    """The top of the dotted name of its module."""
    return _importable(function.__module__).partition(".")[0]


def run_as_module(program: object) -> str | None:
    """The name of a `__main__` that was run with `python -m`."""
    name: str | None = getattr(getattr(program, "__spec__", None), "name", None)
    return None if name == "__main__" else name
