"""What the tests of locked doors share: roles with their grants, and planted markers."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from howdah.cli import command
from howdah.cli.exits import exit_code
from howdah.grants import FUNCTIONS, grant_statements

KINDS = (*FUNCTIONS, "nobody")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path
) -> Callable[..., Ran]:
    """The command line, in this process, on this test's database."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        capsys.readouterr()
        code = exit_code(command, [*args])
        captured = capsys.readouterr()
        return Ran(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def roles(own_dsn: str) -> Iterator[dict[str, str]]:
    """A role of each kind, and one that was granted nothing, in a database of the test's own."""
    names = {kind: f"{kind}_{uuid4().hex[:8]}" for kind in KINDS}
    with psycopg.connect(own_dsn, autocommit=True) as owner:
        for kind, name in names.items():
            owner.execute(f"create role {name} login")
            for statement in grant_statements(name, kind) if kind in FUNCTIONS else ():
                owner.execute(statement.format(schema="howdah"))
        yield names
        for name in names.values():
            owner.execute(f"drop owned by {name} cascade; drop role {name}")


@pytest.fixture
def as_role(own_dsn: str, roles: dict[str, str]) -> Iterator[Callable[[str], psycopg.Connection]]:
    """A connection of a kind of role: `as_role("worker")`."""
    with ExitStack() as opened:

        def connect(kind: str) -> psycopg.Connection:
            connection = psycopg.connect(
                own_dsn, user=roles[kind], autocommit=True, row_factory=namedtuple_row
            )
            return opened.enter_context(connection)

        yield connect


@pytest.fixture
def owner(own_dsn: str) -> Iterator[psycopg.Connection]:
    """A connection of the owner to the test's own database."""
    with psycopg.connect(own_dsn, autocommit=True, row_factory=namedtuple_row) as connection:
        yield connection


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """Every record of every logger, at every level."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.NOTSET)
    handler.emit = records.append
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.NOTSET)
    yield records
    root.removeHandler(handler)
    root.setLevel(level)
