"""Roles: a plain owner installs under any name; each kind may do its things and no others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from psycopg.types.json import Jsonb

from howdah.migrate import grant, migrate

SCHEMA = "ele_phant"
MAY = {
    "producer": {
        "enqueue",
        "enqueue_many",
        "enqueue_json",
        "enqueue_alike",
        "enqueue_batch",
        "enqueue_unique",
        "outcome",
        "emit",
        "http",
        "http_answer",
        "start_workflow",
        "add_to_workflow",
        "start_request",
        "add_to_request",
    },
    "worker": {
        "claim",
        "claim_above",
        "ack",
        "admit",
        "nack",
        "finish",
        "extend",
        "release",
        "progress",
        "note_progress",
        "heartbeat",
        "heartbeats",
        "leave",
        "rescue",
        "stage",
        "chores",
        "declare_tasks",
        "outcome",
        "backlog",
        "due_schedules",
        "fire",
        "fail_schedule",
        "declare_schedules",
        "declare_listeners",
        "emit",
        "finish_http",
        "http_targets",
    },
    "viewer": {
        "why",
        "backlog",
        "cursor",
        "outcome",
        "list_jobs",
        "list_end",
        "ids_ending",
        "watch",
        "http_targets",
    },
    "operator": {
        "cancel_workflow",
        "retry_workflow",
        "rank_workflow",
        "put_pipeline",
        "delete_pipeline",
        "why",
        "backlog",
        "cursor",
        "outcome",
        "list_jobs",
        "list_end",
        "ids_ending",
        "watch",
        "cancel",
        "retry",
        "run_now",
        "delete",
        "pause",
        "resume",
        "put_limit",
        "put_queue",
        "put_rate",
        "put_share",
        "set_cursor",
        "drain",
        "kill",
        "put_schedule",
        "pause_schedule",
        "resume_schedule",
        "run_schedule",
        "delete_schedule",
        "put_listener",
        "pause_listener",
        "resume_listener",
        "delete_listener",
        "http_allow",
        "http_disallow",
        "http_targets",
        "http_answer",
    },
}
EVERYONE = {"schema_version", "channel"}
VIEWS = {
    "cursors",
    "workflows",
    "steps",
    "pipelines",
    "limits",
    "jobs",
    "ready",
    "scheduled",
    "running",
    "expired",
    "failed",
    "attempts",
    "queues",
    "workers",
    "tasks",
    "settings",
    "schedules",
    "ticks",
    "listeners",
    "http_jobs",
    "http_responses",
    "http_allowed",
}
MAY_SELECT = {"producer": set(), "worker": set(), "viewer": VIEWS, "operator": VIEWS}
ALLOWED_INTERNALS = {
    "clock",
    "blocked_queues",
    "count_blocked",
    "count_waiting",
    "workflow_percent",
    "most_of",
    "rate_of",
    "state_name",
    "delivery_name",
    "timeout_span",
    "ready_queues",
    "oldest",
    "count_failed",
    "count_ready",
    "count_scheduled",
    "unserved",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A schema of another name in a database of a plain owner."""

    owner: object
    dsn: str
    roles: dict[str, str]


def url(database, user=None):
    found = os.environ["HOWDAH_TEST_SERVER"].replace("DATABASE", database)
    return found.replace(f"//{urlsplit(found).username}@", f"//{user}@") if user else found


async def set_up(dsn, roles):
    connection = await asyncpg.connect(dsn)
    await migrate(connection, SCHEMA)
    for kind, role in roles.items():
        if kind in MAY:
            await grant(connection, SCHEMA, role, kind)
    await connection.close()


@pytest.fixture(scope="module")
def installed() -> Iterator[Installation]:
    import asyncio

    database = f"own_{uuid4().hex[:12]}"
    roles = {kind: f"{kind}_{uuid4().hex[:8]}" for kind in (*MAY, "nobody", "owner")}
    with psycopg.connect(url("postgres"), autocommit=True) as admin:
        for role in roles.values():
            admin.execute(f"create role {role} login")
        admin.execute(f"create database {database} owner {roles['owner']} template template0")
        asyncio.run(set_up(url(database, roles["owner"]), roles))
        with psycopg.connect(url(database, roles["owner"]), autocommit=True) as owner:
            yield Installation(owner=owner, dsn=database, roles=roles)
        admin.execute(f"drop database {database} with (force)")
        for role in roles.values():
            admin.execute(f"drop role {role}")


@pytest.fixture
def as_role(installed, door):
    """Doors to that installation, by kind of role."""
    opened = []
    owner = type(door)(installed.owner, SCHEMA)
    owner.rows(
        f"delete from _{SCHEMA}.job; delete from _{SCHEMA}.lease; delete from _{SCHEMA}.worker"
    )

    def as_role(kind):
        dsn = url(installed.dsn, installed.roles[kind])
        opened.append(connection := psycopg.connect(dsn, autocommit=True))
        return type(door)(connection, SCHEMA)

    yield as_role
    for connection in opened:
        connection.close()


def functions(installed):
    found = installed.owner.execute(
        "select p.oid::regprocedure::text, p.proname from pg_proc p where p.pronamespace ="
        " %s::regnamespace",
        [SCHEMA],
    )
    return found.fetchall()


@pytest.mark.parametrize("kind", [*MAY, "nobody"])
def test_a_kind_may_call_exactly_its_functions(installed, kind):
    may = {
        name
        for signature, name in functions(installed)
        if installed.owner.execute(
            "select has_function_privilege(%s, %s, 'execute')", [installed.roles[kind], signature]
        ).fetchone()[0]
    }

    assert may == (MAY[kind] | EVERYONE if kind in MAY else set())


def test_every_function_of_the_contract_is_somebodys(installed):
    names = {name for _, name in functions(installed)}

    for_owners_only = names - set.union(*MAY.values()) - EVERYONE

    assert for_owners_only <= {"put_settings"}
    assert set.union(*MAY.values()) <= names


@pytest.mark.parametrize("kind", [*MAY, "nobody"])
def test_a_kind_may_select_from_exactly_its_views(installed, kind):
    may = {
        view
        for view in VIEWS
        if installed.owner.execute(
            "select has_table_privilege(%s, %s, 'select')",
            [installed.roles[kind], f"{SCHEMA}.{view}"],
        ).fetchone()[0]
    }

    assert may == MAY_SELECT.get(kind, set())


@pytest.mark.parametrize("kind", [*MAY, "nobody"])
def test_nobody_may_write_to_views_but_a_producer_inserts_jobs(installed, kind):
    may = installed.owner.execute(
        "select c.relname, p from pg_class c, unnest(array['insert', 'update', 'delete',"
        " 'truncate',"
        " 'trigger', 'references']) p where c.relnamespace = %s::regnamespace and c.relkind = 'v'"
        " and has_table_privilege(%s, c.oid, p)",
        [SCHEMA, installed.roles[kind]],
    ).fetchall()

    writes = [("http_jobs", "insert"), ("jobs", "insert")] if kind == "producer" else []
    assert sorted(may) == writes


@pytest.mark.parametrize("kind", [*MAY, "nobody"])
def test_nobody_reaches_the_store(installed, kind):
    tables = installed.owner.execute(
        "select c.relname from pg_class c where c.relnamespace = %s::regnamespace and c.relkind in"
        " ('r', 'p', 'v') and has_any_column_privilege(%s, c.oid, 'select, insert, update,"
        " references')",
        [f"_{SCHEMA}", installed.roles[kind]],
    ).fetchall()
    sequences = installed.owner.execute(
        "select c.relname from pg_class c where c.relnamespace = %s::regnamespace and case"
        " when c.relkind = 'S'"
        " then has_sequence_privilege(%s, c.oid, 'usage, select, update') end",
        [f"_{SCHEMA}", installed.roles[kind]],
    ).fetchall()
    called = installed.owner.execute(
        "select p.proname from pg_proc p where p.pronamespace = %s::regnamespace"
        " and has_function_privilege(%s, p.oid, 'execute')",
        [f"_{SCHEMA}", installed.roles[kind]],
    ).fetchall()

    assert (tables, sequences) == ([], [])
    assert {name for [name] in called} <= (
        ALLOWED_INTERNALS if kind in {"viewer", "operator"} else set()
    )


def test_public_may_execute_nothing(installed):
    found = installed.owner.execute(
        "select p.oid::regprocedure::text from pg_proc p, aclexplode(coalesce(p.proacl,"
        " acldefault('f', p.proowner))) a where a.grantee = 0"
        " and p.pronamespace in (%s::regnamespace, %s::regnamespace)",
        [SCHEMA, f"_{SCHEMA}"],
    ).fetchall()

    assert found == []


def test_public_reaches_neither_schema_nor_table(installed):
    schemas = installed.owner.execute(
        "select n.nspname from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n',"
        " n.nspowner))) a"
        " where a.grantee = 0 and n.nspname in (%s, %s)",
        [SCHEMA, f"_{SCHEMA}"],
    ).fetchall()
    tables = installed.owner.execute(
        "select c.relname from pg_class c, aclexplode(c.relacl) a where a.grantee = 0"
        " and c.relnamespace in (%s::regnamespace, %s::regnamespace)",
        [SCHEMA, f"_{SCHEMA}"],
    ).fetchall()

    assert (schemas, tables) == ([], [])


async def test_migrating_again_keeps_the_grants_and_gives_public_nothing(installed):
    query = (
        "select p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))::text"
        " from pg_proc p where p.pronamespace in (%s::regnamespace, %s::regnamespace) order by 1"
    )
    before = installed.owner.execute(query, [SCHEMA, f"_{SCHEMA}"]).fetchall()

    await set_up(url(installed.dsn, installed.roles["owner"]), {})

    assert installed.owner.execute(query, [SCHEMA, f"_{SCHEMA}"]).fetchall() == before


async def test_a_role_that_is_not_there_cannot_be_granted(installed):
    from howdah.errors import NotFound

    connection = await asyncpg.connect(url(installed.dsn, installed.roles["owner"]))
    with pytest.raises(NotFound):
        await grant(connection, SCHEMA, "nobody_at_all", "viewer")
    await connection.close()


def test_a_life_from_producer_to_operator(as_role):
    producer, worker, viewer, operator = (as_role(kind) for kind in MAY)

    job_id = producer.enqueue("t", unique_key=None, args={"n": 1})
    producer.enqueue_json({"task": "u", "delay": "1 hour"})
    producer.rows("insert into howdah.jobs (task) values ('v')")
    w = worker.worker()
    worker.call("declare_tasks", tasks=[{"name": "t"}])
    job = worker.claim(1, worker=w, queues=["def*"], tasks=["t"])[0]
    worker.extend(job, "5 min")
    worker.ack(job, result={"n": 2})
    worker.chores()
    worker.rows("select howdah.stage()")

    assert viewer.job(job_id).result == {"n": 2}
    assert "succeeded" in viewer.why(job_id)
    assert viewer.value("backlog") == 1
    assert producer.call("outcome", id=job_id)[0].state == "succeeded"
    assert operator.value("retry", id=job_id) is True
    assert operator.value("cancel", id=job_id) is True
    assert operator.value("delete", id=job_id) is True
    assert operator.value("pause", queue="default") is True
    assert operator.value("resume", queue="default") is True
    assert operator.value("drain", worker=w) == 1
    assert worker.beat(w).action == "drain"
    assert worker.value("leave", worker=w) is True


def url_job_ends(producer, worker):
    """A producer's URL job, and the answer that a worker has for it."""
    producer.call("http", method="GET", url="https://example.org/")
    [job] = worker.claim(1, queues=["http"])
    worker.rows(
        "select * from howdah.finish_http(array[%s::uuid], array[%s::uuid], '{succeeded}', null,"
        " null, null, null, null, false, '{200}', '{https://example.org/}', array['[]'::jsonb],"
        " array['ok'::bytea], array['1 s'::interval], '{1}')",
        job.id,
        job.lease,
    )
    assert producer.call("http_answer", id=job.id)[0].body == b"ok"


@pytest.mark.parametrize("view", sorted(VIEWS))
@pytest.mark.parametrize("kind", ["viewer", "operator"])
def test_who_looks_can_read_every_view_to_the_end(as_role, kind, view):
    producer, worker = as_role("producer"), as_role("worker")
    producer.enqueue_json(*[{"task": "t"}] * 4, {"task": "u", "delay": "1 hour"})
    jobs = worker.claim(3)
    worker.finish(jobs[1:], outcomes=["failed", "succeeded"])
    url_job_ends(producer, worker)
    as_role("operator").call("http_allow", url="https://app.internal/")
    producer.call("start_workflow", name="w", steps=Jsonb([{"name": "a", "task": "a"}]))

    rows = as_role(kind).rows(f"select * from howdah.{view}")

    assert rows or view in {
        "workers",
        "expired",
        "tasks",
        "queues",
        "cursors",
        "limits",
        "schedules",
        "ticks",
        "listeners",
        "pipelines",
    }


@pytest.mark.parametrize("kind", ["producer", "worker", "nobody"])
@pytest.mark.parametrize("view", sorted(VIEWS))
def test_who_does_not_look_reads_no_view(as_role, kind, view):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(kind).rows(f"select * from howdah.{view}")


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("producer", "select howdah.claim()"),
        ("producer", "select howdah.cancel(gen_random_uuid())"),
        ("producer", "select args from howdah.jobs"),
        ("worker", "select howdah.enqueue('t')"),
        ("worker", "insert into howdah.jobs (task) values ('t')"),
        ("worker", "select howdah.pause('q')"),
        ("viewer", "select howdah.enqueue('t')"),
        ("viewer", "insert into howdah.jobs (task) values ('t')"),
        ("viewer", "select howdah.delete(gen_random_uuid())"),
        ("operator", "select howdah.claim()"),
        ("operator", "select howdah.put_settings(max_crashes => 1)"),
        ("nobody", "select howdah.schema_version()"),
        ("nobody", "select howdah.enqueue('t')"),
    ],
)
def test_what_is_not_theirs_is_refused_by_the_server(as_role, kind, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(kind).rows(statement)


@pytest.mark.parametrize("kind", [*MAY, "nobody"])
def test_nobody_moves_the_clock_or_the_store(as_role, kind):
    door = as_role(kind)

    for statement in (
        f"drop function _{SCHEMA}.clock()",
        f"delete from _{SCHEMA}.job",
        f"update _{SCHEMA}.job set state = 'r'",
        f"select lease from _{SCHEMA}.job",
        f"select nextval('_{SCHEMA}.seq')",
        f"create function {SCHEMA}.evil() returns int language sql as 'select 1'",
        f"select _{SCHEMA}.settle('{{}}', '{{}}', 'S')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            door.rows(statement)


def test_the_owner_is_no_superuser_and_made_everything(installed):
    [is_super] = installed.owner.execute(
        "select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = current_user"
    ).fetchone()
    owners = installed.owner.execute(
        "select distinct proowner::regrole::text from pg_proc where pronamespace ="
        " %s::regnamespace",
        [SCHEMA],
    ).fetchall()

    assert is_super is False
    assert owners == [(installed.roles["owner"],)]


def test_the_second_name_left_nothing_under_the_first(installed):
    found = installed.owner.execute(
        "select nspname from pg_namespace where nspname in ('howdah', '_howdah')"
    ).fetchall()
    mentioned = installed.owner.execute(
        "select proname from pg_proc where pronamespace in (%s::regnamespace, %s::regnamespace)"
        " and prosrc ~ '\\m_?howdah\\.'",
        [SCHEMA, f"_{SCHEMA}"],
    ).fetchall()

    assert (found, mentioned) == ([], [])
