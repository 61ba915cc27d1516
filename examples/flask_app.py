"""Flask and SQLAlchemy: jobs enqueued in the request's transaction, a result waited for.

export DATABASE_URL=postgresql://…
howdah worker flask_app:app &
flask --app flask_app:web run
curl -X POST -d email=ada@example.org localhost:5000/people
"""

import asyncio
from functools import cache
from uuid import UUID

from flask import Flask, abort, request
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from howdah import App, NotFound, on

app = App()
web = Flask(__name__)


class Base(DeclarativeBase):
    """The tables of this program."""


class Person(Base):
    """Who signed up."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)


class Address(Base):
    """An address belongs to one person."""

    __tablename__ = "address"
    email: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[int]


@app.task(queue="mail", timeout=30)
def welcome(person: int, email: str) -> str:
    """A plain function runs in a thread of the worker."""
    return f"welcomed {email}, the {person}. of us"


@cache
def engine() -> Engine:
    """Connections for the requests, made when first asked for."""
    url = app.settings.database_url or ""
    found = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(found)
    return found


@web.post("/people")
def sign_up() -> tuple[dict[str, object], int]:
    """The person and the job, or neither."""
    try:
        with Session(engine()) as session, session.begin():
            person = Person()
            session.add(person)
            session.flush()
            number = person.id
            job = on(session).enqueue(welcome.job(number, request.form["email"]))
            session.add(Address(email=request.form["email"], person=number))
    except IntegrityError:
        abort(409)
    return {"person": number, "job": str(job)}, 202


@web.get("/jobs/<uuid:job_id>")
def result(job_id: UUID) -> dict[str, object]:
    """What became of it, waited for by notification."""
    wait = request.args.get("wait", 10.0, type=float)
    try:
        return {"result": asyncio.run(app.result(job_id, timeout=wait))}
    except NotFound:
        abort(404)
    except TimeoutError:
        abort(504)
