"""A reader for each page: a folder, a shell, a database."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from reading import Reader
from terminal import PATIENCE, Terminal

BIN = Path(__file__).parent / "bin"
FOREIGN = ("PG", "HOWDAH", "DATABASE", "DJANGO", "PYTEST", "PYTHONDONT", "FORCE_")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder; modules in it can be imported."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def reading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Reader]]:
    """The reader of a page: `reading("docs/how-to/events.md", dsn)`.

    With `configured=False` commands are not told of the database; `env` is for them, too.
    """
    terminals = []

    def reading(
        page: str, dsn: str, *, configured: bool = True, patience: float = PATIENCE, **env: str
    ) -> Reader:
        told = {"DATABASE_URL": dsn} if configured else {}
        monkeypatch.setenv("DATABASE_URL", dsn)
        terminals.append(Terminal(folder, {**clean(), **told, **env}, patience))
        return Reader(page, folder, dsn, terminals[-1])

    yield reading
    for terminal in terminals:
        terminal.close()


def clean() -> dict[str, str]:
    """The environment of a reader: our programs on the path, nothing configured."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = os.pathsep.join([str(BIN), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**env, "PATH": path, "COLUMNS": "160", "TERM": "dumb", "NO_COLOR": "1"}
