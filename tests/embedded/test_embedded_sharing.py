"""All processes of a project use one server, whoever started it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from howdah.embedded import (
    OtherMajor,
    ensure,
    find_binaries,
    project_root,
    running,
    start_staying,
    status,
)

FAST = {"fsync": "off"}


def test_ten_processes_at_once_get_one_server(new_project, command, postgres_of):
    commands = [
        command("wait(); s = ensure(root, settings=settings); say((s.pid, s.owned)); wait()")
        for _ in range(10)
    ]
    for each in commands:
        each.go_on()

    said = [each.says() for each in commands]

    assert len({answer.split(",")[0] for answer in said}) == 1
    assert sum("True" in answer for answer in said) == 1


def test_a_sharer_does_not_stop_the_server(project, command):
    with ensure(project, settings=FAST) as server:
        sharer = command("with ensure(root) as server: say((server.pid, server.owned))")

        assert sharer.says() == f"({server.pid}, False)"
        assert sharer.end() == 0

        assert running(project) == server


def test_a_sharer_starts_a_server_when_the_owner_is_gone(project, command):
    owner = command("say(ensure(root, settings=settings).pid); wait()")
    owner.says()
    shared = ensure(project)
    assert not shared.owned

    owner.kill()

    # Whether the old one is still up, on its way out or gone: what we get takes connections, in
    # the end our own.
    while not (server := ensure(project, settings=FAST)).owned:
        assert server.pid == shared.pid
    with server, psycopg.connect(server.dsn()) as db:
        assert db.execute("select 1").fetchone() == (1,)


def test_starting_one_that_stays_finds_the_one_that_does_not(project):
    with ensure(project, settings=FAST) as server:
        assert start_staying(project) == server
        assert server.owner is not None


def test_the_status_tells_what_there_is(new_project):
    nothing = status(new_project)
    with ensure(new_project, settings=FAST) as server:
        up = status(new_project)
    down = status(new_project)

    assert (nothing.running, nothing.data_dir, nothing.size) == (False, None, 0)
    assert (up.running, up.pid, up.dsn) == (True, server.pid, server.dsn())
    assert up.version == "{}.{}".format(*server.version)
    assert up.size > 10_000_000
    assert (down.running, down.pid, down.dsn) == (False, None, None)
    assert down.version == str(server.version[0])


def test_data_survive_a_restart(project):
    with ensure(project, settings=FAST) as server, psycopg.connect(server.dsn()) as db:
        db.execute("create table kept as select 42 as answer")

    with ensure(project, settings=FAST) as server, psycopg.connect(server.dsn()) as db:
        assert db.execute("select answer from kept").fetchone() == (42,)


def test_data_of_another_major_version_are_refused_with_advice(new_project):
    data_dir = new_project / ".howdah" / "pg13"
    data_dir.mkdir(parents=True)
    (data_dir / "PG_VERSION").write_text("13\n")

    with pytest.raises(OtherMajor, match="howdah db reset") as refused:
        ensure(new_project)

    assert (refused.value.found, refused.value.wanted) == (13, find_binaries().major)
    assert not list(new_project.glob(".howdah/pg1[4-9]"))


def test_the_project_ignores_its_data_in_git(new_project):
    with ensure(new_project, settings=FAST):
        assert (new_project / ".howdah" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("mark", ["pyproject.toml", "howdah.toml", ".howdah"])
def test_the_root_is_the_nearest_folder_with_a_mark(tmp_path, mark, monkeypatch):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    (tmp_path / "a" / mark).touch()

    assert project_root() == tmp_path / "a"


def test_every_driver_understands_the_dsn(project, monkeypatch):
    import asyncpg
    import psycopg2
    from sqlalchemy import create_engine, text

    async def ask_asyncpg(dsn: str) -> str:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval("select current_database()")
        finally:
            await connection.close()

    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "/nowhere")
    with ensure(project, settings=FAST) as server:
        assert asyncio.run(ask_asyncpg(server.dsn())) == "howdah"
        with psycopg.connect(server.dsn("postgres")) as db:
            assert db.info.dbname == "postgres"
        connection = psycopg2.connect(server.dsn())
        assert connection.info.dbname == "howdah"
        connection.close()
        for dialect in ("postgresql+psycopg", "postgresql+psycopg2"):
            engine = create_engine(server.dsn().replace("postgresql", dialect, 1))
            with engine.connect() as sql:
                assert sql.scalar(text("select current_database()")) == "howdah"
            engine.dispose()
        assert asyncio.run(_ask_sqlalchemy_asyncpg(server.dsn())) == "howdah"


async def _ask_sqlalchemy_asyncpg(dsn: str) -> object:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(dsn.replace("postgresql", "postgresql+asyncpg", 1))
    async with engine.connect() as sql:
        answer = await sql.scalar(text("select current_database()"))
    await engine.dispose()
    return answer
