"""howdah.sqlalchemy: jobs as rows of a session, and the schema by Alembic; sync and async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from howdah import App, BadInput, Conflict, jobs
from howdah.sqlalchemy import Base, Job, on, upgrade

LONGER = pytest.mark.slow
SYNC = ("psycopg", pytest.param("psycopg2", marks=LONGER))
ASYNC = ("asyncpg", pytest.param("psycopg", marks=LONGER))


def url_of(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://")


@pytest.fixture(params=SYNC)
def engine(dsn: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = create_engine(url_of(dsn, request.param))
    yield engine
    engine.dispose()


@pytest.fixture(params=ASYNC)
async def async_engine(dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url_of(dsn, request.param))
    yield engine
    await engine.dispose()


def test_a_job_that_is_added_is_enqueued_with_the_commit(
    engine: Engine, db: psycopg.Connection
) -> None:
    with Session(engine) as session:
        job = Job(task="mail.send", args={"user_id": 42}, queue="mail", tags=["a", "b c"])
        session.add(job)
        session.flush()
        before = db.execute("select count(*) from howdah.jobs").fetchone()
        session.commit()

        assert before == (0,)
        assert (job.state, job.priority, job.max_attempts, job.attempt) == ("ready", 0, 4, 0)
        found = db.execute("select id, queue, args, tags from howdah.jobs").fetchone()
        assert found == (job.id, "mail", {"user_id": 42}, ["a", "b c"])


def test_a_rollback_leaves_no_job(engine: Engine, db: psycopg.Connection) -> None:
    with Session(engine) as session:
        session.add_all([Job(task="a"), Job(task="b")])
        session.flush()
        session.rollback()

    assert db.execute("select count(*) from howdah.jobs").fetchone() == (0,)


def test_a_time_without_its_zone_is_refused_as_everywhere(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Job(task="a", run_at=datetime(2030, 1, 1)))  # noqa: DTZ001
        with pytest.raises(BadInput, match="time zone"):
            session.flush()


def test_a_unique_key_leads_to_the_job_that_has_it(engine: Engine) -> None:
    with Session(engine) as session:
        first = Job(task="t", unique_key="k")
        session.add(first)
        session.commit()
        known = first.id
    with Session(engine) as session:
        second = Job(task="t", unique_key="k")
        session.add(second)
        session.commit()

        assert second.id == known


def test_jobs_are_queried_as_any_rows(engine: Engine) -> None:
    with Session(engine) as session:
        later = datetime(2030, 1, 31, 8, tzinfo=UTC)
        session.add_all([Job(task="now"), Job(task="later", run_at=later, args={"n": 1})])
        session.commit()

        found = session.scalars(select(Job).where(Job.state == "scheduled")).one()
        by_args = session.scalars(select(Job).where(Job.args["n"].as_integer() == 1)).one()

        assert found is by_args
        assert (found.task, found.run_at) == ("later", later)


@pytest.mark.parametrize("changed", ["queue", "delete"])
def test_jobs_are_not_changed_or_deleted_as_rows(engine: Engine, changed: str) -> None:
    with Session(engine) as session:
        job = Job(task="t")
        session.add(job)
        session.commit()

        if changed == "delete":
            session.delete(job)
        else:
            job.queue = "other"
        with pytest.raises(BadInput, match="the engine's to change"):
            session.commit()


def test_what_only_the_engine_sets_is_refused(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Job(task="t", state="succeeded"))
        with pytest.raises(DBAPIError, match="only the engine sets state"):
            session.commit()


async def test_a_session_enqueues_typed_jobs_and_looks_at_them_in_its_transaction(
    async_engine: AsyncEngine, app: App
) -> None:
    @app.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    async with AsyncSession(async_engine) as session:
        job_id = await on(session).enqueue(add.job(1, 2))
        row = Job(task="plain")
        session.add(row)
        await session.flush()
        await session.refresh(row)
        found = await session.get(Job, job_id)

        assert found is not None
        assert (found.args, row.state) == ({"a": 1, "b": 2}, "ready")
        assert await app.run(jobs.get(job_id)) is None
        await session.commit()
    assert await app.run(jobs.get(job_id)) is not None


def test_the_mapping_has_every_column_of_the_view(db: psycopg.Connection) -> None:
    columns = db.execute("select * from howdah.jobs limit 0").description or ()

    assert {column.name for column in columns} == {*Job.__table__.columns.keys()}


def test_metadata_of_the_users_is_left_alone() -> None:
    from sqlalchemy.orm import DeclarativeBase

    class Own(DeclarativeBase):
        pass

    assert not Own.metadata.tables
    assert [*Base.metadata.tables] == ["howdah.jobs"]


ENV = """
from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""
FIRST = """
from alembic import op
import howdah.sqlalchemy
import sqlalchemy as sa

revision, down_revision = "one", None

def upgrade():
    op.create_table("before", sa.Column("id", sa.Integer))
    op.howdah_upgrade()
    op.create_table("after", sa.Column("id", sa.Integer))

def downgrade():
    op.drop_table("after")
    op.howdah_downgrade()
    op.drop_table("before")
"""
SECOND = """
from alembic import op
import howdah.sqlalchemy

revision, down_revision = "two", "one"

def upgrade():
    op.howdah_upgrade()
    op.execute("select howdah.enqueue('t')")

def downgrade():
    pass
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Config:
    versions = tmp_path / "versions"
    versions.mkdir()
    (tmp_path / "env.py").write_text(ENV)
    (versions / "one.py").write_text(FIRST)
    (versions / "two.py").write_text(SECOND)
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "os")
    return config


def there(connection: Any) -> tuple[list[str], list[str]]:
    seen = inspect(connection)
    ours = [name for name in seen.get_schema_names() if "howdah" in name]
    return ours, sorted(seen.get_table_names())


def went_up_and_down(connection: Any, config: Config) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    assert there(connection) == (["_howdah", "howdah"], ["after", "alembic_version", "before"])
    assert connection.execute(text("select count(*) from howdah.jobs")).scalar() == 1
    assert connection.execute(text("show search_path")).scalar() == "public"
    command.downgrade(config, "base")
    assert there(connection) == ([], ["alembic_version"])


@pytest.mark.parametrize("driver", SYNC)
def test_alembic_installs_upgrades_and_drops(empty_dsn: str, scripts: Config, driver: str) -> None:
    engine = create_engine(url_of(empty_dsn, driver))
    with engine.begin() as connection:
        went_up_and_down(connection, scripts)
    engine.dispose()


@pytest.mark.parametrize("driver", ASYNC)
async def test_alembic_does_so_with_an_async_engine(
    empty_dsn: str, scripts: Config, driver: str
) -> None:
    engine = create_async_engine(url_of(empty_dsn, driver))
    async with engine.begin() as connection:
        await connection.run_sync(went_up_and_down, scripts)
    await engine.dispose()


def test_a_rollback_takes_the_schema_with_it_and_old_signatures_go(empty_dsn: str) -> None:
    engine = create_engine(url_of(empty_dsn, "psycopg"))
    with engine.connect() as connection:
        upgrade(connection)
        connection.rollback()
        assert there(connection)[0] == []

        upgrade(connection, "queue")
        connection.execute(text("create function queue.why(a int) returns int return 1"))
        connection.commit()
        upgrade(connection, "queue")
        named = text("select count(*) from pg_proc where proname = 'why'")
        assert connection.execute(named).scalar() == 1
    engine.dispose()


def test_a_schema_with_tables_of_others_is_not_dropped(own_dsn: str) -> None:
    from howdah.sqlalchemy import downgrade

    engine = create_engine(url_of(own_dsn, "psycopg"))
    with engine.begin() as connection:
        connection.execute(text("create table howdah.mine (id int)"))
        with pytest.raises(Conflict, match="mine"):
            downgrade(connection)
    engine.dispose()


def test_an_offline_script_is_refused_with_what_to_do(scripts: Config, empty_dsn: str) -> None:
    (Path(scripts.get_main_option("script_location") or "") / "env.py").write_text(
        "from alembic import context\n"
        "context.configure(dialect_name='postgresql', as_sql=True)\n"
        "with context.begin_transaction():\n    context.run_migrations()\n"
    )
    with pytest.raises(BadInput, match="howdah db sql"):
        command.upgrade(scripts, "head", sql=True)
