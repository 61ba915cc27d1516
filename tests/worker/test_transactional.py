"""Tasks whose effects commit with their job's end, on each kind of connection."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import pytest

from howdah import App, Cancel, Context, Retry, Snooze, jobs
from howdah.call import Call
from howdah.events import AttemptFinished, LeaseRefused
from howdah.outcome import Fail, Released, Succeeded
from howdah.worker import transactions as transactions_module
from howdah.worker.connections import Transaction

# Two of the six share all but their driver with another one: `make proof-workers` runs them too.
KINDS = [
    "asyncpg",
    pytest.param("psycopg async", marks=pytest.mark.slow),
    "sqlalchemy async",
    "psycopg",
    pytest.param("sqlalchemy", marks=pytest.mark.slow),
    "django",
]
SETUP = """
drop table if exists effect, child, parent;
create table effect (job uuid, note text);
create table parent (id int primary key);
create table child (parent int references parent deferrable initially deferred);
"""
EFFECT = "insert into effect values ('{}', '{}')"


@pytest.fixture(autouse=True)
def tables(db: psycopg.Connection) -> Iterator[None]:
    db.execute(SETUP)
    yield
    db.execute("set lock_timeout = '5s'; drop table effect, child, parent")


class Body:
    """What a task of a test does, the same on every kind: `yield` it statements to run."""

    def __init__(self, app: App, kind: str) -> None:
        self.app, self.name, self.is_async = app, *_split(kind)

    def task(self, body: Callable[[Context], Any], **options: Any) -> Any:
        """Declare a task whose statements are those that the body yields."""
        given = {"delivery": "transactional", "connection": self.name, "name": "job", **options}

        async def on_loop(ctx: Context) -> Any:
            steps = body(ctx)
            return await _through(steps, lambda text: _execute(ctx.connection, text))

        def in_thread(ctx: Context) -> Any:
            steps = body(ctx)
            try:
                while True:
                    _execute_here(ctx.connection, next(steps))
            except StopIteration as end:
                return end.value

        return self.app.task(**given)(on_loop if self.is_async else in_thread)


async def _through(steps: Any, execute: Callable[[str], Any]) -> Any:
    while True:
        try:
            statement = next(steps)
        except StopIteration as end:
            return end.value
        await execute(statement)


def _split(kind: str) -> tuple[str, bool]:
    name, _, colour = kind.partition(" ")
    return name, name == "asyncpg" or colour == "async"


async def _execute(connection: Any, text: str) -> None:
    if "sqlalchemy" in type(connection).__module__:
        from sqlalchemy import text as statement

        await connection.execute(statement(text))
    else:
        await connection.execute(text)


def _execute_here(connection: Any, text: str) -> None:
    if "sqlalchemy" in type(connection).__module__:
        connection.exec_driver_sql(text)
    elif hasattr(connection, "execute"):
        connection.execute(text)
    else:
        with connection.cursor() as cursor:
            cursor.execute(text)


def set_up_django(dsn: str) -> None:
    import django
    from django.conf import settings

    if settings.configured:
        return
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": unquote(parts.path[1:]),
                "USER": parts.username,
                "HOST": query["host"][0],
                "PORT": query["port"][0],
            }
        },
        USE_TZ=True,
    )
    django.setup()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, dsn: str) -> str:
    if request.param == "django":
        set_up_django(dsn)
    return request.param


@pytest.fixture
async def quick(dsn: str) -> AsyncIterator[App]:
    """An app whose workers look around often."""
    async with App(dsn, poll_every=0.1) as app:
        yield app


@pytest.fixture
def body(quick: App, kind: str) -> Body:
    return Body(quick, kind)


def effects(store: Any) -> list[str]:
    return [row.note for row in store.rows("select note from effect order by note")]


def in_transaction(store: Any) -> int:
    """Sessions that are in a transaction, or run a statement, other than the test's own."""
    return store.one(
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid() and backend_type = 'client backend' "
        "and (state like 'idle in transaction%%' or "
        "(state = 'active' and query like 'select pg_sleep%%'))"
    )


def take_away(store: Any, ctx: Context) -> None:
    """Give the job to somebody else, as a rescue does."""
    store.do("select howdah.release(%s, %s)", ctx.job_id, ctx.fence)


async def test_effect_and_end_commit_together(body, quick, store, eventually):
    seen_before = []

    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        seen_before.append((effects(store), store.state(ctx.job_id)))
        return {"n": 1}

    body.task(work)
    async with quick.worker():
        job_id = store.enqueue("job", delivery="transactional")
        await eventually(lambda: store.state(job_id) == "succeeded")
        assert in_transaction(store) == 0
        assert store.one("select count(*) from howdah.running") == 0

    assert seen_before == [([], "running")]
    assert effects(store) == ["done"]
    assert store.job(job_id).result == {"n": 1}
    assert store.attempts(job_id) == []


@pytest.mark.parametrize(
    "how", ["error", "snooze", "cancel", "fail", "bad result", "unstorable result"]
)
async def test_whatever_is_no_success_leaves_no_effect(body, quick, store, eventually, how):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        match how:
            case "error":
                raise ValueError("no")
            case "snooze":
                return Snooze(60)
            case "cancel":
                raise Cancel("not wanted")
            case "fail":
                return Fail("declined", {"code": 51})
            case "bad result":
                return object()
        return "NUL: \x00"

    body.task(work, retry=Retry(max_attempts=1))
    ends = {"error": "failed", "snooze": "scheduled", "cancel": "cancelled"}
    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == ends.get(how, "failed"))
        assert in_transaction(store) == 0

    assert effects(store) == []
    assert "result" not in how or "cannot be stored" in store.job(job_id).error


async def test_an_attempt_whose_lease_was_taken_rolls_back_and_the_next_one_counts(
    body, quick, store, eventually, seen
):
    refused = seen(quick, LeaseRefused)

    def work(ctx):
        number = store.one("select count(*) from howdah.attempts") + 1
        yield EFFECT.format(ctx.job_id, f"attempt {number}")
        if number == 1:
            take_away(store, ctx)

    body.task(work)
    async with quick.worker() as worker:
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "succeeded")
        await eventually(lambda: not worker.status()["running"])
        await eventually(lambda: refused)
        assert worker._parts._leases.held() == []
        assert in_transaction(store) == 0

    assert effects(store) == ["attempt 2"]
    assert [event.job_id for event in refused] == [job_id]


async def test_a_deferred_constraint_fails_the_job_not_the_worker(body, quick, store, eventually):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, f"attempt {ctx.attempt}")
        yield "insert into child values (7)"

    body.task(work, retry=Retry(max_attempts=3, first=0.05))
    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.job(job_id).attempt >= 2)
        store.do("insert into parent values (7)")
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert set(store.attempts(job_id)) == {"error"}
    assert "child_parent_fkey" in store.one("select min(error) from howdah.attempts")
    assert effects(store) == [f"attempt {store.job(job_id).attempt}"]


async def test_an_end_by_timeout_in_mid_statement_leaves_nothing_and_nothing_running(
    body, quick, store, eventually
):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        yield "select pg_sleep(60)"

    body.task(work, timeout=0.3, retry=Retry(max_attempts=1))
    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "failed")
        await eventually(lambda: in_transaction(store) == 0)

    assert store.attempts(job_id) == ["timeout"]
    assert effects(store) == []


async def test_a_cancel_in_mid_statement_leaves_nothing_and_the_next_job_a_clean_connection(
    body, quick, store, eventually
):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        if ctx.args.get("long"):
            yield "set statement_timeout = '90s'"
            yield "select pg_sleep(60)"

    body.task(work)
    async with quick.worker():
        job_id = store.enqueue("job", {})
        await eventually(lambda: store.state(job_id) == "succeeded")
    assert effects(store) == ["done"]

    @quick.task(name="long", delivery="transactional")
    async def long(ctx: Context):
        await ctx.connection.execute(EFFECT.format(ctx.job_id, "long"))
        await ctx.connection.execute("select pg_sleep(60)")

    async with quick.worker(slots=1):
        job_id, after = store.enqueue("long"), store.enqueue("job")
        await eventually(lambda: in_transaction(store) == 1)
        store.do("select howdah.cancel(%s)", job_id)
        await eventually(lambda: store.state(job_id) == "cancelled")
        await eventually(lambda: store.state(after) == "succeeded")
        await eventually(lambda: in_transaction(store) == 0)

    assert effects(store) == ["done", "done"]


async def test_what_a_task_sets_on_its_session_is_not_there_for_the_next(
    body, quick, store, eventually
):
    def work(ctx):
        if ctx.attempt == 1 and not effects(store):
            yield EFFECT.format(ctx.job_id, "first")
            yield "set lock_timeout = '77s'"
            yield "create temp table left_behind (n int)"
            yield "select pg_advisory_lock(4711)"
        else:
            yield "create temp table left_behind (n int)"
            yield (
                f"insert into effect select '{ctx.job_id}', current_setting('lock_timeout') || ' ' "
                "|| (select count(*) from pg_locks where locktype = 'advisory' and objid = 4711)"
            )

    if body.name == "django":
        pytest.skip("Django keeps its sessions as its own settings say")
    body.task(work)
    async with quick.worker(slots=1):
        for _ in range(2):
            job_id = store.enqueue("job")
            await eventually(lambda job_id=job_id: store.state(job_id) == "succeeded")

    assert effects(store) == ["0 0", "first"]


async def test_how_a_task_wants_its_values_is_not_how_the_next_gets_them(quick, store, eventually):
    from psycopg.rows import dict_row

    @quick.task(name="codec", delivery="transactional")
    async def codec(ctx: Context) -> str:
        found = await ctx.connection.fetchval("select cast('[1]' as jsonb)")
        await ctx.connection.set_type_codec(
            "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )
        return type(found).__name__

    @quick.task(name="rows", delivery="transactional", connection="psycopg")
    def rows(ctx: Context) -> str:
        found = ctx.connection.execute("select 1 as n").fetchone()
        ctx.connection.row_factory, ctx.connection.cursor_factory = dict_row, psycopg.ClientCursor
        return type(found).__name__

    async with quick.worker(slots=1):
        jobs = [await task.enqueue() for task in (codec, codec, rows, rows)]
        await eventually(lambda: store.states()["succeeded"] == 4)

    assert [store.job(job).result for job in jobs] == ["str", "str", "tuple", "tuple"]


@pytest.mark.parametrize("how", ["commit", "rollback", "commit; begin"])
async def test_a_task_that_ends_the_transaction_by_itself_fails_and_is_not_tried_again(
    body, quick, store, eventually, how
):
    if ";" in how and body.name in {"sqlalchemy", "django"}:
        how = "commit and chain"

    def work(ctx):
        yield EFFECT.format(ctx.job_id, "own")
        yield how

    body.task(work)
    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "failed")
        after = store.enqueue("job")
        await eventually(lambda: store.state(after) == "failed")
        assert in_transaction(store) == 0

    assert "the task ended the transaction of ctx.connection by itself" in store.job(job_id).error
    assert store.attempts(job_id) == ["error"]


@pytest.mark.parametrize(
    "statement",
    ["reset all", "set search_path = ''", "set local role {reader}", "set role {reader}"],
)
async def test_what_a_task_does_to_its_session_does_not_hinder_its_end(
    body, quick, store, eventually, statement
):
    """A role without any grant of ours, too: tenants are told apart by SET LOCAL ROLE."""
    reader = f"reader_{os.getpid()}"  # roles are the whole server's
    store.do(f"create role {reader}")

    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        yield statement.format(reader=reader)

    body.task(work)
    async with quick.worker(slots=1):
        jobs = [store.enqueue("job") for _ in range(2)]
        await eventually(lambda: not {"ready", "running"} & store.states().keys())
        ended = [(store.state(each), store.job(each).error) for each in jobs]
    store.do(f"drop role {reader}")

    assert ended == [("succeeded", None)] * 2
    assert effects(store) == ["done"] * 2


async def test_a_task_that_makes_its_transaction_read_only_fails_and_says_so(
    body, quick, store, eventually
):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        yield "set local transaction_read_only = on"

    body.task(work, retry=Retry(max_attempts=2, first=0.05))
    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "failed")
        assert in_transaction(store) == 0

    assert "the task made the transaction of ctx.connection read-only" in store.job(job_id).error
    assert store.attempts(job_id) == ["error", "error"]
    assert store.job(job_id).crashes == 0
    assert effects(store) == []


async def test_an_error_in_a_statement_that_the_task_swallowed_is_an_error(
    body, quick, store, eventually
):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        yield "do $$ begin if false then raise 'never'; end if; end $$"

    def broken(ctx):
        try:
            if body.is_async:
                raise AssertionError
            _execute_here(ctx.connection, "select 1/0")
        except Exception:
            return
        yield "unreached"

    if body.is_async:

        @quick.task(name="job", delivery="transactional", connection=body.name,
                    retry=Retry(max_attempts=1))  # fmt: skip
        async def job(ctx: Context):
            await _execute(ctx.connection, EFFECT.format(ctx.job_id, "done"))
            try:
                await _execute(ctx.connection, "select 1/0")
            except Exception:
                return
    else:
        body.task(broken, retry=Retry(max_attempts=1))
    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "failed")

    assert effects(store) == []
    assert "transaction" in store.job(job_id).error


async def test_a_connection_killed_in_mid_job_charges_no_attempt(body, quick, store, eventually):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        if not store.attempts(ctx.job_id):
            yield "select pg_terminate_backend(pg_backend_pid())"

    body.task(work, retry=Retry(max_attempts=1))
    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.attempts(job_id) == ["connection lost"]
    assert (store.job(job_id).attempt, store.job(job_id).crashes) == (1, 1)
    assert effects(store) == ["done"]


async def test_a_connection_killed_while_the_task_computes_charges_no_attempt(
    body, quick, store, eventually
):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        if not store.attempts(ctx.job_id):
            kill_ours(store)

    body.task(work, retry=Retry(max_attempts=1))
    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.attempts(job_id) == ["connection lost"]
    assert effects(store) == ["done"]


def kill_ours(store: Any) -> None:
    """End every backend that is idle in a transaction."""
    store.do(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and state = 'idle in transaction'"
    )
    until = time.monotonic() + 5
    while in_transaction(store) and time.monotonic() < until:
        time.sleep(0.01)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_connection_lost_around_the_commit_leaves_exactly_one_effect(
    body, quick, store, eventually, seen, monkeypatch, moment
):
    refused, cut = seen(quick, LeaseRefused), []

    def cut_off(kind: type[Transaction]) -> None:
        original = kind.commit

        async def commit(self):
            if cut:
                return await original(self)
            cut.append(moment)
            if moment == "before":
                kill_ours(store)
                return await original(self)
            await original(self)
            raise ConnectionResetError("cut off after the commit")

        monkeypatch.setattr(kind, "commit", commit)

    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")

    body.task(work, retry=Retry(max_attempts=1))
    for kind in concrete(Transaction):
        cut_off(kind)
    async with quick.worker() as worker:
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "succeeded")
        await eventually(lambda: not worker.status()["running"])
        await worker.idle()

    assert cut == [moment]
    assert store.attempts(job_id) == ["connection lost"] * (moment == "before")
    assert effects(store) == ["done"]
    assert refused == []


def concrete(kind: type) -> list[type]:
    """The kinds that commit by themselves, of those that were loaded."""
    from importlib import import_module

    for name in ("asyncpg", "psycopg", "sqlalchemy"):
        import_module(f"howdah.worker.connections.{name}")
    below = [each for sub in kind.__subclasses__() for each in (sub, *concrete(sub))]
    return [each for each in below if "commit" in vars(each)]


async def test_a_timeout_that_comes_with_the_commit_leaves_the_choice_to_the_store(
    body, quick, store, eventually, seen, monkeypatch
):
    refused, slow = seen(quick, LeaseRefused), []

    def slowly(kind: type[Transaction]) -> None:
        original = kind.commit

        async def commit(self):
            slow.append(1)
            if body.is_async:
                await asyncio.sleep(1.6)  # beyond the grace: the attempt is given up
            else:
                time.sleep(0.7)  # noqa: ASYNC251 - in a thread, without a loop
            await original(self)

        monkeypatch.setattr(kind, "commit", commit)

    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")

    body.task(work, timeout=0.3, retry=Retry(max_attempts=1))
    for kind in concrete(Transaction):
        slowly(kind)
    async with quick.worker() as worker:
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) in {"succeeded", "failed"})
        await eventually(lambda: not worker.status()["running"])
        await worker.idle()
        await eventually(lambda: in_transaction(store) == 0)

    assert slow == [1]
    assert effects(store) == (["done"] if store.state(job_id) == "succeeded" else [])
    assert refused == []


async def test_a_coroutine_that_swallows_its_cancelling_cannot_use_its_connection_for_long(
    quick, store, eventually
):
    ends, goes_on = [], asyncio.Event()

    @quick.task(name="deaf", delivery="transactional", timeout=0.2, retry=Retry(max_attempts=1))
    async def deaf(ctx: Context):
        await ctx.connection.execute(EFFECT.format(ctx.job_id, "deaf"))
        while not goes_on.is_set():
            try:
                await goes_on.wait()
            except asyncio.CancelledError:
                continue
        try:
            await ctx.connection.execute("commit")
        except Exception as error:
            ends.append(type(error).__name__)
            raise

    async with quick.worker():
        job_id = await deaf.enqueue()
        await eventually(lambda: store.state(job_id) == "failed")
        await eventually(lambda: in_transaction(store) == 0, within=3)
        goes_on.set()
        await eventually(lambda: ends)

    assert store.attempts(job_id) == ["timeout"]
    assert effects(store) == []


@pytest.mark.parametrize("connection", ["asyncpg", "psycopg", "sqlalchemy"])
async def test_a_coroutine_that_returns_although_it_was_cancelled_leaves_no_effect(
    quick, store, eventually, connection
):
    started = asyncio.Event()

    @quick.task(name="stubborn", delivery="transactional", connection=connection)
    async def stubborn(ctx: Context):
        await _execute(ctx.connection, EFFECT.format(ctx.job_id, "stubborn"))
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "as if nothing had happened"

    async with quick.worker():
        job_id = await stubborn.enqueue()
        await started.wait()
        store.do("select howdah.cancel(%s)", job_id)
        await eventually(lambda: store.state(job_id) == "cancelled")
        await eventually(lambda: in_transaction(store) == 0)

    assert effects(store) == []
    assert store.job(job_id).result is None


async def test_a_thread_that_was_given_up_never_commits(quick, store, eventually):
    end, ended = threading.Event(), threading.Event()

    @quick.task(name="deaf", delivery="transactional", connection="psycopg", timeout=0.2,
                retry=Retry(max_attempts=1))  # fmt: skip
    def deaf(ctx: Context):
        ctx.connection.execute(EFFECT.format(ctx.job_id, "deaf"))
        end.wait(20)
        ended.set()

    async with quick.worker():
        job_id = await deaf.enqueue()
        await eventually(lambda: store.state(job_id) == "failed")
        await eventually(lambda: in_transaction(store) == 0, within=3)
        end.set()
        await eventually(ended.is_set)
        after = store.enqueue("deaf")
        await eventually(lambda: store.state(after) == "succeeded")

    assert store.attempts(job_id) == ["timeout"]
    assert store.rows("select distinct job from effect") == [(after,)]


async def test_a_thread_that_was_told_to_stop_does_not_commit_even_if_its_backend_lives(
    quick, store, eventually, monkeypatch
):
    monkeypatch.setattr(transactions_module.Transactions, "_end_backend", lambda *_: None)
    end, ended = threading.Event(), threading.Event()

    @quick.task(name="deaf", delivery="transactional", connection="psycopg", timeout=0.2,
                retry=Retry(max_attempts=2, first=30))  # fmt: skip
    def deaf(ctx: Context):
        ctx.connection.execute(EFFECT.format(ctx.job_id, "deaf"))
        end.wait(20)
        ended.set()

    async with quick.worker():
        job_id = await deaf.enqueue()
        await eventually(lambda: store.attempts(job_id) == ["timeout"])
        end.set()
        await eventually(ended.is_set)
        await eventually(lambda: in_transaction(store) == 0)

    assert effects(store) == []
    assert store.state(job_id) == "scheduled"


async def test_a_stopping_worker_hands_back_what_it_rolled_back(body, quick, store, eventually):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        if not store.attempts(ctx.job_id):
            yield "select pg_sleep(60)"

    body.task(work)
    async with quick.worker() as worker:
        job_id = store.enqueue("job")
        await eventually(lambda: in_transaction(store) == 1)
        worker.stop(hurry=True)
        await worker.wait()
    await eventually(lambda: in_transaction(store) == 0)
    assert effects(store) == []

    async with quick.worker():
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.attempts(job_id) == ["released"]
    assert (store.job(job_id).attempt, store.job(job_id).crashes) == (1, 0)
    assert effects(store) == ["done"]


async def test_no_connection_outlives_the_worker(body, quick, store, eventually):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")

    named = "select count(*) from pg_stat_activity where application_name like %s"
    body.task(work)
    async with quick.worker():
        await quick.enqueue_many([quick.tasks["job"].job() for _ in range(50)])
        await eventually(lambda: store.states()["succeeded"] == 50)
        if body.name != "django":  # its own settings name its connections
            assert 1 <= store.one(named, f"howdah worker {os.getpid()} transactions") <= 20
    await eventually(lambda: store.one(named, "%transactions") == 0)

    assert effects(store) == ["done"] * 50


async def test_it_goes_without_prepared_statements_where_the_settings_forbid_them(
    dsn, kind, store, eventually
):
    app = App(dsn, prepare=False)

    def work(ctx):
        for _ in range(8):  # psycopg prepares what it has seen five times
            yield EFFECT.format(ctx.job_id, "done")
        yield f"insert into effect select '{ctx.job_id}', count(*) from pg_prepared_statements"

    body = Body(app, kind)
    body.task(work)
    async with app, app.worker(slots=1):
        ids = [store.enqueue("job") for _ in range(2)]
        await eventually(lambda: [store.state(each) for each in ids] == ["succeeded"] * 2)

    # SQLAlchemy prepares each with asyncpg, under a name that no other session has.
    assert kind in {"sqlalchemy async", "django"} or set(effects(store)) == {"0", "done"}


async def test_connections_that_died_while_idle_are_replaced(body, quick, store, eventually):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")

    body.task(work)
    async with quick.worker():
        await quick.enqueue_many([quick.tasks["job"].job() for _ in range(30)])
        await eventually(lambda: store.states()["succeeded"] == 30)
        store.do(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and application_name like '%%transactions'"
        )
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.attempts(job_id) == []


async def test_a_job_waits_uncharged_while_no_connection_can_be_had(
    quick, store, eventually, monkeypatch
):
    from howdah.errors import NoDatabase
    from howdah.worker.connections import asyncpg as kind

    async def none(*_, **__):
        raise NoDatabase("too many clients", hint="")

    @quick.task(name="job", delivery="transactional")
    async def job(ctx: Context):
        await ctx.connection.execute(EFFECT.format(ctx.job_id, "done"))

    with monkeypatch.context() as patched:
        patched.setattr(kind, "open_connection", none)
        async with quick.worker():
            job_id = await job.enqueue()
            await eventually(lambda: store.attempts(job_id))
    store.do("select howdah.run_now(%s)", job_id)
    async with quick.worker():
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.attempts(job_id)[0] == "no connection"
    assert (store.job(job_id).attempt, store.job(job_id).crashes) == (1, 0)


async def test_no_task_starts_and_none_is_charged_while_the_server_takes_no_writes(
    body, quick, store, eventually, monkeypatch
):
    """As on a standby: what begins a transaction there could not store its end."""

    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")

    body.task(work)
    with monkeypatch.context() as patched:
        begin_as_on_a_standby(patched, body.name)
        async with quick.worker():
            job_id = store.enqueue("job")
            await eventually(lambda: store.attempts(job_id))
            assert in_transaction(store) == 0
    store.do("select howdah.run_now(%s)", job_id)
    async with quick.worker():
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert {*store.attempts(job_id)} == {"no connection"}
    assert "no writes" in store.one("select min(error) from howdah.attempts")
    assert (store.job(job_id).attempt, store.job(job_id).crashes) == (1, 0)
    assert effects(store) == ["done"]


def begin_as_on_a_standby(patched, name):
    module = import_module(f"howdah.worker.connections.{name}")
    for kind in [*vars(module).values()]:
        if isinstance(kind, type) and "begin" in vars(kind):
            patched.setattr(kind, "begin", read_only_after(kind.begin))


def read_only_after(begin):
    async def begun(self):
        await begin(self)
        await self.run(Call("select set_config('transaction_read_only', 'on', true)", (), list))

    return begun


async def test_waiting_for_a_connection_does_not_count_as_running(dsn, store, eventually):
    app = App(dsn, slots=60)

    @app.task(name="job", delivery="transactional", timeout=2, retry=Retry(max_attempts=1))
    async def job(ctx: Context):
        await ctx.connection.execute("select pg_sleep(1)")

    async with app, app.worker():
        await app.enqueue_many([job.job() for _ in range(60)])
        await eventually(lambda: store.states()["succeeded"] == 60, within=20)


async def test_a_transactional_job_of_an_undeclared_kind_gets_asyncpg_or_runs_as_usual(
    quick, store, eventually
):
    given = {}

    @quick.task(name="awaits")
    async def awaits(ctx: Context):
        given["awaits"] = ctx.connection is not None
        await ctx.connection.execute(EFFECT.format(ctx.job_id, "done"))

    @quick.task(name="plain")
    def plain(ctx: Context):
        given["plain"] = ctx.connection is not None

    async with quick.worker():
        ids = [store.enqueue(name, delivery="transactional") for name in ("awaits", "plain")]
        await eventually(lambda: [store.state(each) for each in ids] == ["succeeded"] * 2)

    assert given == {"awaits": True, "plain": False}
    assert effects(store) == ["done"]


async def test_a_plain_function_that_returns_a_coroutine_is_told_to_be_one(
    quick, store, eventually
):
    async def later(): ...

    @quick.task(name="job", delivery="transactional", connection="psycopg")
    def job(ctx: Context):
        return later()

    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "failed")

    assert "declare it as async def" in store.job(job_id).error


async def test_enqueueing_on_the_tasks_own_connection_commits_with_it(quick, store, eventually):
    @quick.task(name="next")
    async def following(): ...

    @quick.task(name="job", delivery="transactional", retry=Retry(max_attempts=1))
    async def job(ctx: Context, fails: bool):
        await quick.on(ctx.connection).enqueue(following.job())
        if fails:
            raise ValueError

    async with quick.worker():
        ids = [await job.enqueue(fails=fails) for fails in (True, False)]
        await eventually(lambda: [store.state(each) for each in ids] == ["failed", "succeeded"])

    assert store.one("select count(*) from howdah.jobs where task = 'next'") == 1


async def test_perform_stores_a_success_by_itself(body, quick, store):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        return 7

    body.task(work)
    job_id = store.enqueue("job")
    [claimed] = await quick.run(jobs.claim())

    outcome = await quick.perform(claimed)
    again = await quick.run(jobs.finish([outcome]))
    twice = await quick.perform(claimed)

    assert isinstance(outcome, Succeeded)
    assert store.state(job_id) == "succeeded"
    assert [refusal.reason for refusal in again] == ["done"]
    assert isinstance(twice, Released)
    assert effects(store) == ["done"]
    assert in_transaction(store) == 0


async def test_perform_ends_a_transactional_attempt_in_time(body, quick, store, eventually):
    def work(ctx):
        yield EFFECT.format(ctx.job_id, "done")
        yield "select pg_sleep(60)"

    body.task(work, timeout=0.3)
    store.enqueue("job", timeout="0.3 s")
    [claimed] = await quick.run(jobs.claim())

    outcome = await quick.perform(claimed)
    await eventually(lambda: in_transaction(store) == 0)

    assert outcome.reason == "timeout"
    assert effects(store) == []


async def test_a_hook_that_fails_after_djangos_commit_is_told_and_changes_no_jobs_end(
    dsn, quick, store, seen, caplog, eventually
):
    set_up_django(dsn)
    from django.db import transaction

    ran = []

    @quick.task(name="job", delivery="transactional", connection="django")
    def job(ctx: Context) -> None:
        def hook() -> None:
            ran.append(store.state(ctx.job_id))
            raise ConnectionError("the cache is away")

        transaction.on_commit(hook)

    ends = seen(quick, AttemptFinished)
    async with quick.worker():
        job_id = await job.enqueue()
        await eventually(lambda: ends)

    assert ran == ["succeeded"]
    assert isinstance(ends[0].outcome, Succeeded)
    assert f"a hook of job {job_id} has failed; the job has succeeded" in caplog.text
    assert "ConnectionError: the cache is away" in caplog.text


async def test_django_elsewhere_is_told_where_the_schema_has_to_be(
    quick, store, eventually, monkeypatch
):
    from howdah.worker.connections import django as kind

    set_up_django(quick.settings.database_url)
    original = kind._Django.__init__

    def elsewhere(self, connection, schema):
        original(self, connection, "nowhere")

    monkeypatch.setattr(kind._Django, "__init__", elsewhere)

    @quick.task(name="job", delivery="transactional", connection="django",
                retry=Retry(max_attempts=1))  # fmt: skip
    def job(ctx: Context): ...

    async with quick.worker():
        job_id = store.enqueue("job")
        await eventually(lambda: store.state(job_id) == "failed")

    assert "has no schema nowhere" in store.job(job_id).error
    assert "DATABASES" in store.job(job_id).error


@pytest.mark.parametrize("task", ["effect", "effect in a thread"])
async def test_a_worker_killed_in_mid_job_leaves_exactly_one_effect(
    work, store, ledger, eventually, task
):
    job_id = store.enqueue(task, {"first": 60})
    worker = work(lost_after=1.0)
    await eventually(lambda: ledger.starts()[job_id] == 1)
    await eventually(lambda: in_transaction(store) == 1)

    worker.kill()
    await eventually(lambda: in_transaction(store) == 0, within=4)
    work(lost_after=1.0, poll_every=0.2)
    await eventually(lambda: store.state(job_id) == "succeeded")

    assert ledger.starts()[job_id] == 2
    assert store.rows("select job from effect") == [(job_id,)]
    assert store.attempts(job_id) == ["lost"]


ANOTHER = "select id from howdah.workers where pid = %s and id <> %s"


async def test_a_frozen_worker_cannot_commit_what_another_has_done(work, store, ledger, eventually):
    job_id = store.enqueue("effect", {"first": 0.5})
    frozen = work(lost_after=1.0)
    await eventually(lambda: ledger.starts()[job_id] == 1)
    frozen.send(signal.SIGSTOP)
    old = store.one("select id from howdah.workers where pid = %s", frozen.pid)
    work(lost_after=1.0, poll_every=0.2)
    await eventually(lambda: store.state(job_id) == "succeeded")

    frozen.send(signal.SIGCONT)
    await eventually(lambda: store.one(ANOTHER, frozen.pid, old))
    await eventually(lambda: in_transaction(store) == 0)

    assert store.rows("select job from effect") == [(job_id,)]
