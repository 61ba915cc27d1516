"""Attacks by names: functions, operators and temporary tables of a hostile role change nothing."""

from __future__ import annotations

import inspect

import psycopg
import pytest

from howdah.grants import grant_statements

NOTE = "insert into evil.noted values (%L, current_user); "
FUNCTIONS = {
    "now()": "timestamptz",
    "clock_timestamp()": "timestamptz",
    "gen_random_uuid()": "uuid",
    "coalesce_(a text)": "text",
    "nextval(a regclass)": "bigint",
    "jsonb_typeof(a jsonb)": "text",
    "length(a text)": "int",
    "set_config(a text, b text, c boolean)": "text",
    "current_setting(a text)": "text",
    "pg_notify(a text, b text)": "void",
    "md5(a text)": "text",
    "to_char(a timestamptz, b text)": "text",
    "unnest(a uuid[])": "setof uuid",
    "left(a text, b int)": "text",
    "pg_column_size(a jsonb)": "int",
    "random()": "float8",
    "cardinality(a uuid[])": "int",
    "array_length(a uuid[], b int)": "int",
    "pg_current_xact_id()": "xid8",
    "format(a text, b text)": "text",
    "replace(a text, b text, c text)": "text",
}
OPERATORS = [
    ("=", "uuid", "uuid", "boolean"),
    ("=", "text", "text", "boolean"),
    ("=", '"char"', '"char"', "boolean"),
    ("=", "int", "int", "boolean"),
    ("<", "timestamptz", "timestamptz", "boolean"),
    ("<=", "timestamptz", "timestamptz", "boolean"),
    ("+", "timestamptz", "interval", "timestamptz"),
    ("||", "text", "text", "text"),
    ("<>", "text", "text", "boolean"),
    (">", "int", "int", "boolean"),
    ("*", "interval", "float8", "interval"),
    ("/", "float8", "float8", "float8"),
    ("~~", "text", "text", "boolean"),
    (">", "bigint", "int", "boolean"),
]
TABLES = [
    "job",
    "lease",
    "setting",
    "worker",
    "queue",
    "task",
    "finished",
    "idle",
    "pulse",
    "given_id",
]


def arm(owner, role):
    owner.rows(f"create schema evil authorization {role}")
    owner.rows("create table evil.noted (what text, by text)")
    owner.rows("grant usage on schema evil to public; grant insert, select on evil.noted to public")
    owner.rows(f"grant usage on schema howdah to {role}")
    owner.rows(f"grant execute on all functions in schema howdah to {role}")
    owner.rows(f"grant select, insert on all tables in schema howdah to {role}")
    for kind in ("producer", "worker", "viewer", "operator"):
        for statement in grant_statements(role, kind):
            owner.rows(statement.format(schema="howdah"))


def lay_traps(hostile):
    body = "as $$ begin insert into evil.noted values ('{}', current_user); return{}; end $$"
    for signature, returns in FUNCTIONS.items():
        give = "" if returns == "void" or returns.startswith("setof") else " null"
        hostile.rows(
            f"create function evil.{signature} returns {returns} language plpgsql "
            + body.format(signature, give)
        )
    for n, (name, left, right, returns) in enumerate(OPERATORS):
        hostile.rows(
            f"create function evil.op{n}(a {left}, b {right}) returns {returns} language plpgsql "
            + body.format(f"{left} {name} {right}", " null")
        )
        hostile.rows(
            f"create operator evil.{name} (leftarg = {left}, rightarg = {right}, function ="
            f" evil.op{n})"
        )
    for name in TABLES:
        hostile.rows(f"create temp table {name} (id uuid, state text, lease uuid)")
    hostile.rows("create domain pg_temp.uuid as text; create domain pg_temp.jsonb as text")
    hostile.rows("create domain evil.timestamptz as text; create domain evil.interval as text")
    hostile.rows("set search_path = evil, pg_temp, pg_catalog")


@pytest.fixture
def hostile(own_door, own_dsn, role):
    name = role()
    arm(own_door, name)
    with psycopg.connect(own_dsn, user=name, autocommit=True) as connection:
        door = type(own_door)(connection)
        lay_traps(door)
        yield door
    own_door.rows(f"drop owned by {name} cascade")


def run_everything(door, clock):
    first = door.rows("select howdah.enqueue('a', unique_key => 'k', tags => '{x}')")[0][0]
    door.rows(
        """select * from howdah.enqueue_json('[{"task": "b", "delay": "1 min"}, {"task": "c"}]')"""
    )
    door.rows("select * from howdah.enqueue_many(array[row('d', null, null, null, null, null, null,"
              " null, null, null, null, null, null, null)::howdah.new_job])")  # fmt: skip
    door.rows("select howdah.enqueue_batch('e',"
    " array['01900000-0000-7000-8000-000000000001']::pg_catalog.uuid[],"
              " array['{}'])")  # fmt: skip
    door.rows("select * from howdah.enqueue_alike('e',"
    " array['01900000-0000-7000-8000-000000000003']::pg_catalog.uuid[],"
              " array['{}'])")  # fmt: skip
    door.rows("select howdah.enqueue_unique('e',"
    " array['01900000-0000-7000-8000-000000000002']::pg_catalog.uuid[],"
              " array['{}'], array['k2'])")  # fmt: skip
    door.rows("insert into howdah.jobs (task) values ('f')")
    worker = "00000000-0000-4000-8000-00000000000a"
    door.rows("select howdah.heartbeat(%s, name => 'w', queues => '{*}')", worker)
    door.rows("""select howdah.declare_tasks('[{"name": "a"}]')""")
    above = "select id, lease from howdah.claim_above('default', 0, 0, 1, %s, '{a,b,d,e,f}')"
    mine = door.rows(above, worker)
    mine += door.rows("select id, lease from howdah.claim('{def*}', 1, %s)", worker)
    door.rows("select howdah.extend(%s, %s, '1 minute')", *mine[0])
    door.rows("select howdah.ack(%s, %s, '1')", *mine[0])
    door.rows("select howdah.nack(%s, %s, 'boom')", *mine[1])
    more = door.rows("select id, lease from howdah.claim(n => 3)")
    door.rows("select howdah.release(%s, %s)", *more[0])
    door.rows(
        "select * from howdah.finish(array[%s::pg_catalog.uuid], array[%s::pg_catalog.uuid],"
        " '{retry}')",
        *more[1],
    )
    door.rows("select howdah.enqueue('p')")
    held = door.rows("select id, lease from howdah.claim(tasks => '{p}')")
    door.rows("select howdah.progress(%s, %s, 1, 2)", *held[0])
    door.rows(
        "select * from howdah.finish_http(array[%s::pg_catalog.uuid],"
        " array[%s::pg_catalog.uuid], '{succeeded}', '{null}', '{null}', '{null}', '{null}', '{}',"
        " false, '{null}', '{null}', '{null}', '{null}', '{null}', '{null}')",
        *held[0],
    )
    clock.forward("5 minutes")
    door.rows("select * from howdah.chores()")
    door.rows("select howdah.stage()")
    for verb in ("cancel", "retry", "run_now", "delete", "why", "outcome"):
        door.rows(f"select howdah.{verb}(%s)", first)
    for statement in (
        "select howdah.pause('q')", "select howdah.resume('q')", "select howdah.backlog()",
        "select howdah.put_queue('q', true, true)", "select howdah.put_settings()",
        "select howdah.drain(name => 'w*')", "select howdah.kill(name => 'w')",
        f"select howdah.leave('{worker}')",
        "select howdah.schema_version()", "select howdah.channel()",
        "select count(*) from howdah.list_jobs('ready', 'q', 't', 'x', '1 day', '2 days')",
        "select count(*) from howdah.list_jobs()", "select howdah.list_end()",
        "select howdah.ids_ending('aa')",
        f"select * from howdah.heartbeats(array['{worker}']::pg_catalog.uuid[])",
        "select howdah.put_limit('q', 1)", "select howdah.put_share('q', 'k', 1)",
        "select howdah.put_rate('q', 9, '1 second', 9)",
        "select howdah.admit(10)", "select howdah.cursor('k')",
        "select howdah.set_cursor('k', '{}', 0)",
        "select * from howdah.declare_listeners('[]', '{p}')",
        "select * from howdah.declare_schedules('[]', '{p}')",
        "select howdah.put_listener('l', 'e', 't')", "select howdah.pause_listener('l')",
        "select howdah.resume_listener('l')", "select howdah.emit('e', '{}')",
        "select howdah.delete_listener('l')",
        "select howdah.put_schedule('s', 't', cron => '* * * * *')",
        "select * from howdah.due_schedules('{cron}')",
        "select howdah.run_schedule('s')", "select howdah.pause_schedule('s')",
        "select howdah.resume_schedule('s')", "select howdah.fail_schedule('s', 1, 'no')",
        "select howdah.fire('s', 1, null, '{}', pg_catalog.now(), null)",
        "select howdah.delete_schedule('s')", "select howdah.watch('q')",
        "select howdah.put_pipeline('p', '1', 0, '[{\"name\": \"s\", \"task\": \"t\"}]')",
        "select howdah.put_pipeline('q', '1', 5, '[{\"name\": \"s\", \"task\": \"t\"}]')",
        """select howdah.add_to_request(howdah.start_request('p'), '["q"]')""",
        "select howdah.delete_pipeline('p', '1')",
        """select howdah.add_to_workflow(
            howdah.start_workflow('w', '[{"name": "a", "task": "t"}]'),
            '[{"name": "b", "task": "t"}]')""",
        "select howdah.rank_workflow(id, 1) from howdah.workflows",
        "select howdah.cancel_workflow(id) from howdah.workflows",
        "select * from howdah.chores()",
        ("select howdah.retry_workflow(id) from howdah.workflows"
        " where state operator(pg_catalog.=) 'cancelled'"),
        "select howdah.http_allow('http://localhost:1/')", "select howdah.http_targets()",
        "select howdah.http('GET', 'http://localhost:1/')",
        "select howdah.http_answer(pg_catalog.gen_random_uuid())",
        "select howdah.http_disallow('http://localhost:1/')",
        "select howdah.note_progress('{}', '{}', '{}', '{}', '{}')",
        f"select howdah.rescue('{worker}', '{{}}')",
    ):  # fmt: skip
        door.rows(statement)


VIEWS = [
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
    "cursors",
    "limits",
]


def test_no_function_of_the_contract_walks_into_a_trap(own_door, hostile):
    run_everything(hostile, own_door)

    noted = own_door.rows("select distinct what, by from evil.noted")

    assert noted == []
    assert own_door.one("select count(*) from howdah.attempts") >= 2


def test_t04_every_function_of_the_contract_is_among_those_that_are_tried(own_door):
    names = own_door.rows(
        "select distinct proname as name from pg_proc where pronamespace = 'howdah'::regnamespace"
        " and prorettype <> 'trigger'::regtype"
    )
    tried = inspect.getsource(run_everything)
    by_verb = {"cancel", "retry", "run_now", "delete", "why", "outcome"}

    assert {row.name for row in names if f"howdah.{row.name}(" not in tried} <= by_verb


def test_no_view_walks_into_a_trap(own_door, hostile):
    run_everything(hostile, own_door)
    own_door.rows("delete from evil.noted")

    for view in VIEWS:
        hostile.rows(f"select count(*) over (), v from howdah.{view} v")

    assert own_door.rows("select distinct what, by from evil.noted") == []


def test_every_function_names_where_it_looks(door):
    unpinned = door.rows(
        "select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace ="
        " 'howdah'::regnamespace"
        " and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)"
    )

    assert unpinned == []


def test_every_function_with_its_owners_rights_names_where_it_looks(door):
    unpinned = door.rows(
        "select p.oid::regprocedure::text as name from pg_proc p where p.prosecdef and"
        " p.pronamespace in"
        " ('howdah'::regnamespace, '_howdah'::regnamespace)"
        " and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)"
    )

    assert unpinned == []
