"""A server that is there and lets nobody in yet: no process ends by it, and no parent gives up."""

from __future__ import annotations

import os
import time
from signal import SIGINT

import pytest

from howdah import NoDatabase
from howdah.events import Events
from howdah.parent import Parent
from howdah.parent.messages import Start
from howdah.source import Source

LIFESPAN = """
import asyncpg, os
from contextlib import asynccontextmanager
import duties

@asynccontextmanager
async def lifespan(_):
    connection = await asyncpg.connect(os.environ["GUEST"])
    yield
    await connection.close()

app = duties.app
app.lifespan = lifespan
"""


@pytest.fixture
def guest(dsn, store):
    """A URL for a role that may log in as often as the test says, and may do what workers do."""
    role = f"guest_{os.getpid()}"
    store.do(f"create role {role} login connection limit 0; grant howdah to {role}")
    yield dsn.replace("//howdah@", f"//{role}@")
    store.do(f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'")
    store.do(f"drop owned by {role}; drop role {role}")


def let_in(store, guest, how_many):
    role = guest.partition("//")[2].partition("@")[0]
    store.do(f"alter role {role} connection limit {how_many}")


async def test_processes_wait_and_work_once_they_are_let_in(start, guest, store, eventually):
    parent = start("-p", "2", database=guest)
    await parent.says("does not let us in yet", 2)
    before = [each["pid"] for each in (await parent.status())["processes"]]

    let_in(store, guest, -1)
    after = await parent.ready(2)
    job_id = store.enqueue("hold")
    await eventually(lambda: store.state(job_id) == "succeeded")

    assert "too many connections for role" in parent.errors
    assert after == before


async def test_ctrl_c_ends_the_wait(start, guest):
    parent = start("-p", "2", database=guest)
    await parent.says("does not let us in yet", 2)

    parent.send(SIGINT)
    sent = time.monotonic()

    assert await parent.ended() == 0
    assert time.monotonic() - sent < 3
    assert parent.family() == []
    assert "Traceback" not in parent.errors


async def test_processes_whose_own_code_is_refused_for_a_while_are_started_again(
    start, folder, guest, store
):
    """One of two gets in, so that the other is refused before the first has registered."""
    (folder / "guarded.py").write_text(LIFESPAN)
    parent = start("-p", "2", app="guarded:app", env={"GUEST": guest})
    await parent.says("too many connections for role", 4)

    let_in(store, guest, 1)
    await parent.says("· worker ")
    let_in(store, guest, -1)
    await parent.ready(2)

    assert parent.process.poll() is None
    assert "another starts in" in parent.errors
    assert "another starts now" not in parent.errors


async def test_a_parent_waits_for_the_database_that_it_makes_ready(
    folder, env, dsn, monkeypatch, caplog
):
    for name, value in {**env, "DATABASE_URL": dsn}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    asked = []

    def ready(settings):
        asked.append(settings)
        if len(asked) < 3:
            raise NoDatabase("too many clients") from ConnectionResetError()
        return settings

    start = Start(source=Source(app="duties:app"), number=1, name="one", burst=True)
    code = await Parent(start, 1, ready=ready, events=Events()).run()

    assert code == 0
    assert len(asked) == 3
    assert "does not let us in yet (too many clients)" in caplog.text
