"""The pages on SQLAlchemy, PostgREST and testing, followed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from bridge import Api, Bridge, serving
from reading import Reader
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from howdah import App

ROLES = ("web", "worker", "viewer", "publisher", "authenticator")


async def test_sqlalchemy(reading: Any, own_dsn: str) -> None:
    reader = reading("docs/how-to/sqlalchemy.md", own_dsn)
    engine = create_engine(own_dsn.replace("postgresql:", "postgresql+psycopg:"))
    user = users_of(engine)
    app = App(own_dsn)

    @app.task(name="send_welcome")
    async def send_welcome(user_id: int) -> None: ...

    reader.names.update(engine=engine, user=user, send_welcome=send_welcome)
    await reader.follow()

    with psycopg.connect(own_dsn) as db:
        assert db.execute("select task, args from howdah.jobs order by created_at").fetchall() == [
            ("send_welcome", {"user_id": 1}), ("mail.send", {"user_id": 42}),
        ]  # fmt: skip
    went_down_and_up(engine, reader)
    engine.dispose()


def users_of(engine: Any) -> Any:
    class Base(DeclarativeBase): ...

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)

    Base.metadata.create_all(engine)
    return User()


def went_down_and_up(engine: Any, reader: Reader) -> None:
    """The page's migration, in Alembic's context."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        for step, expected in (("downgrade", False), ("upgrade", True)):
            reader.names[step]()
            there = "select to_regclass('howdah.jobs') is not null"
            assert connection.exec_driver_sql(there).scalar() is expected


@pytest.fixture
def roles_dropped(own_dsn: str) -> Iterator[None]:
    """The page's roles are of the whole server: none stays."""
    yield
    with psycopg.connect(own_dsn, autocommit=True) as db:
        for role in ROLES:
            db.execute(f"drop owned by {role}; drop role {role}")


async def test_postgrest(reading: Any, own_dsn: str, roles_dropped: None) -> None:
    reader = reading("docs/how-to/postgrest.md", own_dsn)
    Bridge.dsn = own_dsn
    with psycopg.connect(own_dsn, autocommit=True) as db:
        db.execute("""select howdah.put_pipeline('images', '1.0', 0, '["scale"]')""")
        db.execute("""select howdah.put_pipeline('report', '1', 0, '["print"]')""")
    with serving() as port:
        asked = Requests(Api(port, {role: role for role in ROLES}))
        reader.means.update(ini=served(own_dsn), http=asked.send, json=asked.was_refused)
        await reader.follow()

        the_publisher_publishes_and_does_nothing_else(asked.api.as_("publisher"))

    assert asked.statuses == [200, 200, 200, 200, 204, 200, 200, 200]


def the_publisher_publishes_and_does_nothing_else(publisher: Api) -> None:
    published = [
        publisher.post("/rpc/enqueue", task="t")[0],
        publisher.post("/rpc/enqueue_many", jobs=[{"task": "t"}])[0],
    ]
    others = [
        publisher.post("/rpc/outcome", id=str(uuid4())),
        publisher.post("/rpc/claim"),
        publisher.post("/rpc/enqueue_json", jobs=[]),
        publisher.get("/jobs"),
    ]

    assert published == [200, 200]
    assert [said["code"] for _, said in others] == ["42501"] * 4


def served(dsn: str) -> Any:
    """PostgREST's file: it logs in so, may become each role, and finds the schemas."""

    def check(text: str, _: Any) -> None:
        told = tomllib.loads(text)
        login = re.match(r"postgres://(\w+)@", told["db-uri"])
        assert login
        with psycopg.connect(dsn, user=login[1]) as db:
            for role in ("web", "worker", "viewer"):
                db.execute(f"set role {role}")
            for schema in told["db-schemas"].split(", "):
                assert db.execute(
                    "select to_regnamespace(%s) is not null", [schema]
                ).fetchone() == (True,)

    return check


class Requests:
    """Sends what the page's requests say, in the role that each needs."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.statuses: list[int] = []

    def send(self, text: str, _: Any) -> None:
        held: list[Any] = []
        for request in re.split(r"\n(?=POST|GET)", text.strip()):
            first, _, body = request.partition("\n")
            method, path = first.split()
            given = json.loads(body) if body.strip() else None
            if given and "lease" in given:
                job = held.pop()
                given.update(id=job["id"], lease=job["lease"])
            status, found = self.api.as_(self.role_for(path)).ask(method, path, given)
            held = found if path == "/rpc/claim" else held
            self.statuses.append(status)

    def role_for(self, path: str) -> str:
        if path.startswith(("/rpc/enqueue", "/rpc/start_request")):
            return "web"
        return "worker" if path.startswith("/rpc/") else "viewer"

    def was_refused(self, text: str, _: Any) -> None:
        """An error as the page shows it: where that says `…`, anything."""
        shown = json.loads(text)
        _, said = self.api.as_("worker").post("/rpc/ack", id=str(uuid4()), lease=str(uuid4()))
        assert said.keys() == shown.keys()
        for key, value in shown.items():
            pattern = re.escape(value or "").replace("…", ".*")
            assert re.fullmatch(pattern, said[key] or "", re.DOTALL), (key, said[key])
