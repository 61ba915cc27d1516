"""Defects that can be planted in a run's own database, to see that the checker finds them.

Each names what it breaks. They live here, outside the package, and only ever touch the database or
the program of the run that asked for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

NOTHING_DURABLE = """
create or replace function _howdah.durable(queues text[]) returns void language sql as $$ select $$;
"""
AT_CLAIM = """
create function chaos.forget() returns trigger language plpgsql as $$
begin
    if random() < 0.02 then
        insert into chaos.forgotten select new.id;
    end if;
    return null;
end $$;
create table chaos.forgotten (id uuid);
create trigger defect after update on _howdah.job for each row
when (new.state = 'x' and old.state = 'r') execute function chaos.forget();
create function chaos.delete_forgotten() returns trigger language plpgsql as $$
begin
    delete from _howdah.job j using chaos.forgotten f where j.id = f.id;
    delete from chaos.forgotten;
    return null;
end $$;
create trigger defect_deletes after insert on _howdah.lease for each statement
execute function chaos.delete_forgotten();
"""
NO_TURNS = """
create function chaos.let_in() returns trigger language plpgsql as $$
begin
    new.state := 'r';
    return new;
end $$;
create trigger defect before insert on _howdah.job for each row
when (new.state = 'b' and new.serial_key is not null) execute function chaos.let_in();
"""
NO_LIMITS = """
create function chaos.let_in() returns trigger language plpgsql as $$
begin
    new.state := 'r';
    return new;
end $$;
create trigger defect before insert on _howdah.job for each row
when (new.state = 'b' and new.limit_keys is not null) execute function chaos.let_in();
"""
SETTLE_LESS = """
        n := cardinality(ids) - (cardinality(ids) > 5)::int;
        moved := _howdah.settle(ids[:n], leases[:n], 'S', results, errors);
        return;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What is broken, and how: statements, and edits of installed functions."""

    breaks: str
    statements: tuple[str, ...] = ()
    edits: tuple[tuple[str, str, str], ...] = ()  # function, what it says, what it is to say
    needs: tuple[str, ...] = field(default=())  # faults without which nothing of it could be seen


DEFECTS = {
    "no-fence": Defect(
        breaks="a finish is matched by the job's id, whatever its lease",
        edits=(
            (
                "_howdah.settle",
                "j.id = o.id and (j.lease = o.lease or (settle.leases is null and j.lease is null))",
                "j.id = o.id",
            ),
            (
                "_howdah.settle",
                "and (j.lease = any (tokens) or (settle.leases is null and j.lease is null))",
                "",
            ),
            ("howdah.finish", "j.id = u.id and j.lease = u.lease and j.leased_until <= moment", "false"),
        ),
    ),
    "async-commit": Defect(
        breaks="an enqueue is acknowledged before it is durable",
        statements=(
            NOTHING_DURABLE,
            "alter system set synchronous_commit = off",
            "alter system set wal_writer_delay = '10s'",
            "select pg_reload_conf()",
        ),
        needs=("kill",),
    ),
    "effect-outside": Defect(
        breaks="a task's effect commits by itself, not with the end of its job",
    ),
    "delete-at-claim": Defect(
        breaks="of fifty claimed jobs one is deleted when it is claimed", statements=(AT_CLAIM,)
    ),
    "rescue-forgets": Defect(
        breaks="the lease of a lost worker is dropped, its jobs are not brought back",
        edits=(
            (
                "_howdah.end_lease",
                "ended  int := cardinality(_howdah.end_attempts(",
                "ended  int := case when true then 0 else cardinality(_howdah.end_attempts(",
            ),
            ("_howdah.end_lease", "null, null));\nbegin", "null, null)) end;\nbegin"),
            (
                "_howdah.end_lease",
                "and not exists (select from unnest(l.ids) i (id) join _howdah.job j on j.id = i.id and j.lease = l.lease)",
                "",
            ),
            ("howdah.rescue", "having count(*) > 0", "having false"),
            (
                "howdah.rescue",
                "and not exists (select from _howdah.job j where j.id = any (held.ids) and j.lease = held.lease)",
                "",
            ),
        ),
    ),
    "rescue-runs-twice": Defect(
        breaks="what may never start twice is brought back like anything else",
        edits=(
            (
                "_howdah.end_attempts",
                "when o.kind in ('retry', 'lost', 'crashed', 'hung') and j.delivery = 'm' then 'failed'",
                "",
            ),
            ("howdah.rescue", "when o.delivery = 'm' then 'lost'", "when false then 'lost'"),
        ),
    ),
    "uncounted-crash": Defect(
        breaks="a rescue gives the attempt back and counts no crash",
        edits=(("_howdah.make_ready", "crashes = j.crashes + crashed::int", "crashes = j.crashes"),),
    ),
    "early-stage": Defect(
        breaks="scheduled jobs are made ready a second before their time",
        edits=(("_howdah.stage", "j.run_at <= moment", "j.run_at <= moment + interval '1 s'"),),
    ),
    "no-unique-index": Defect(
        breaks="nothing keeps two live jobs from having one unique key",
        statements=("drop index _howdah.job_unique",),
    ),
    "no-turns": Defect(
        breaks="a job of a serial key is let in at once, whoever of its key waits or runs",
        statements=(NO_TURNS,),
    ),
    "ticks-twice": Defect(
        breaks="whoever finds a schedule due fires it, whatever others have fired meanwhile",
        statements=("alter table _howdah.tick drop constraint tick_pkey",),
        edits=(
            ("howdah.due_schedules", "taken_until = present + interval '2 s'", "taken_until = null"),
            (
                "howdah.fire",
                "and s.revision = fire.revision and s.handled = fire.handled and not s.paused\n    for update skip locked",
                "and not s.paused",
            ),
        ),
    ),
    "ticks-forgotten": Defect(
        breaks="of several ticks that are due at once only the last makes a job",
        edits=(
            (
                "howdah.fire",
                "foreach due in array fire.ticks loop",
                "foreach due in array fire.ticks[cardinality(fire.ticks):] loop",
            ),
        ),
    ),
    "joins-early": Defect(
        breaks="a step of several jobs counts as ended when all but one of them have",
        edits=(
            (
                "_howdah.advance_one",
                "s.succeeded + s.failed + s.cancelled >= s.total;\n        get",
                "s.succeeded + s.failed + s.cancelled >= s.total - (s.total > 1)::int;\n        get",
            ),
        ),
    ),
    "joins-never": Defect(
        breaks="an end leaves no note where one of its workflow lies that somebody is just taking",
        edits=(
            (
                "_howdah.end_members",
                "from told t group by",
                "from told t where not exists (select from _howdah.pending p where p.kind = 'w' and p.key = t.workflow::text) group by",
            ),
        ),
    ),
    "no-limits": Defect(
        breaks="a job with a limit is let in at once, however many of it run",
        statements=(NO_LIMITS,),
    ),
    "tail-dropped": Defect(
        breaks="of each batch of finishes the last is not stored, and said to be",
        edits=(
            (
                "howdah.finish",
                "moved := _howdah.settle(ids, leases, 'S', results, errors, soon => true);",
                SETTLE_LESS,
            ),
        ),
    ),
}  # fmt: skip


SOURCE = """
select array_agg(pg_get_functiondef(p.oid)) from pg_proc p
join pg_namespace n on n.oid = p.pronamespace where n.nspname || '.' || p.proname = $1
"""


async def plant(
    name: str, execute: Callable[[str], Awaitable[Any]], ask: Callable[..., Any]
) -> None:
    """Break it. `ask` gives one value of a statement with parameters."""
    defect = DEFECTS[name]
    for statement in defect.statements:
        await execute(statement)
    edits: dict[str, list[tuple[str, str]]] = {}
    for function, says, is_to_say in defect.edits:
        edits.setdefault(function, []).append((says, is_to_say))
    for function, changes in edits.items():
        for text in await ask(SOURCE, function):
            if all(says in text for says, _ in changes):
                await execute(reduce(lambda said, edit: said.replace(*edit), changes, text))
                break
        else:
            raise LookupError(f"{function} is not what it was: mend the defect {name}")
