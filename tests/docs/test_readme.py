"""The README, followed: from a clone to a first app, and to one that is run for real."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from pages import ROOT, blocks_of
from reading import Reader, nothing
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from howdah.embedded import running

OURS = """
create table users (id serial primary key, email text);
create table account (id int, balance int);
insert into account values (1, 10);
"""


async def test_a_first_app_and_what_commits_with_ones_data(
    reading: Any, own_dsn: str, folder: Path
) -> None:
    with psycopg.connect(own_dsn) as db:
        db.execute(OURS)
    reader = reading("README.md", own_dsn, configured=False)

    async with AsyncExitStack() as stack:
        reader.beside = partial(a_worker_of_hello, stack)
        said = await reader.follow("A first app")

    assert '"welcome 42 (en)"' in said
    assert " succeeded " in said
    assert "welcome 42 (mi)" in said
    assert "the database is away" not in said
    assert "warning" not in said
    assert running(folder) is None

    await commits_with_ones_data(reader)


async def a_worker_of_hello(stack: AsyncExitStack) -> None:
    """Once the page has made hello.py: in this process, on the test's database."""
    if "hello" not in sys.modules:
        await stack.enter_async_context(importlib.import_module("hello").app.worker())


async def commits_with_ones_data(reader: Reader) -> None:
    engine = create_engine(reader.dsn.replace("postgresql:", "postgresql+psycopg:"))
    connection = await asyncpg.connect(reader.dsn)
    reader.names.update(engine=engine, user=User(), connection=connection)

    reader.beside = nothing
    await reader.follow("Commits with your data")
    app, book = reader.names["app"], reader.names["book"]
    job_id = await book.enqueue(1, 5)
    async with app.worker() as worker:
        await worker.idle()

    assert await app.result(job_id, timeout=5) is None
    assert await connection.fetchval("select balance from account") == 15
    assert await connection.fetchval("select count(*) from users") == 2
    await connection.close()
    await app.close()
    engine.dispose()


class Base(DeclarativeBase): ...


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None]


def test_a_pasted_block_has_no_comments() -> None:
    """An interactive zsh, as on macOS, would take them for arguments."""
    commands = [b for b in blocks_of("README.md") if (b.kind, b.heading) == ("bash", "A first app")]

    assert commands
    assert not any("#" in each.text for each in commands)


@pytest.fixture
def role(own_dsn: str) -> Iterator[str]:
    name = f"role_{os.urandom(4).hex()}"
    with psycopg.connect(own_dsn, autocommit=True) as db:
        db.execute(f"create role {name}")
        yield name
        db.execute(f"drop owned by {name}; drop role {name}")


@pytest.mark.slow  # four seconds of CPU
@pytest.mark.timeout(600)
async def test_run_for_real(reading: Any, own_dsn: str, folder: Path, role: str) -> None:
    reader = reading("README.md", own_dsn, configured=False)
    (folder / "hello.py").write_text(next(b.text for b in reader.blocks if b.file == "hello.py"))
    reader.blanks = {
        "postgresql://USER@HOST/DATABASE": f"'{own_dsn}'",
        "ROLE": role,
        "--host HOST": f"--host {socket.gethostname()}",
    }

    said = await reader.follow("Run it for real")

    assert "mail, * · slots 120" in said
    with psycopg.connect(own_dsn) as db:
        db.execute(f"set role {role}")
        db.execute("select howdah.enqueue('hello.send_welcome')")


@pytest.mark.slow  # a minute and a half
@pytest.mark.timeout(900)
async def test_a_clone_is_set_up_shows_itself_and_is_tested(
    reading: Any, dsn: str, folder: Path, tmp_path: Path
) -> None:
    """This suite is what `make test` runs in the end: in the clone it is collected, and no more."""
    if not (ROOT / ".git").exists():
        pytest.skip("there is no repository to clone")
    origin = tmp_path / "howdah"
    origin.symlink_to(ROOT)
    options = {"PYTEST_ADDOPTS": "--collect-only -q", "PYTHON": sys.executable}
    contributing = reading("CONTRIBUTING.md", dsn, configured=False, patience=800, **options)
    contributing.blanks["<this repository>"] = str(origin)
    readme = reading("README.md", dsn, configured=False, patience=800, **options)

    tested = await contributing.follow()
    readme.terminal.type("cd howdah")
    shown = await readme.follow("See it")

    assert "tests collected" in tested or "selected" in tested
    assert "failures  0" in shown
