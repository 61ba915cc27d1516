"""Unique keys among many producers at once: one unfinished job each, and nobody gets a dead one."""

from __future__ import annotations

import asyncio
import random
import threading

import psycopg
import pytest

PRODUCERS, KEYS, CONSUMERS = 32, 100, 2
pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
async def test_of_32_producers_none_gets_a_job_that_has_ended_and_no_key_has_two(
    databases, scaled, chance, record
):
    """R-06: calls and rollbacks meet each other, and jobs that run, come back, and end."""
    calls, [store] = scaled(10_000, least=200), databases(1)
    store.do(PRODUCE)
    produced, seeds = threading.Event(), [chance.random() for _ in range(PRODUCERS + CONSUMERS)]

    async with asyncio.TaskGroup() as consuming:
        for seed in seeds[PRODUCERS:]:
            consuming.create_task(asyncio.to_thread(_consume, store.dsn, produced, seed))
        try:
            async with asyncio.TaskGroup() as producing:
                for seed in seeds[:PRODUCERS]:
                    producing.create_task(_produce(store.dsn, calls, seed))
        finally:
            produced.set()

    [found] = store.rows(FOUND)
    record(f"keyed: {PRODUCERS} producers of {KEYS} unique keys", calls=PRODUCERS * calls,
           **found._asdict())  # fmt: skip
    assert found.answered + found.undone == PRODUCERS * calls
    assert (found.of_another_key, found.of_ended_jobs, found.twice_at_once) == (0, 0, 0)
    assert found.jobs == store.one("select count(*) from howdah.jobs")
    assert found.answered > found.jobs > KEYS
    assert found.undone > 0


# What producers and consumers note, beside what they do. A moment that comes after a commit is
# taken in the next transaction: what was there then was there for all to see.

PRODUCE = """
create table answer (key text, id uuid, began timestamptz, returned timestamptz);
create table undone (key text);
create table ended (id uuid, began timestamptz, returned timestamptz);
create procedure produce(calls int, keys int, seed float8) language plpgsql as $$
declare
    key text; job uuid; began timestamptz; undoes boolean;
begin
    perform setseed(seed);
    for n in 1..calls loop
        key := 'u' || floor(random() * keys);
        undoes := random() < 0.05;
        began := clock_timestamp();
        job := howdah.enqueue('t', jsonb_build_object('key', key), unique_key => key);
        if undoes then
            rollback;
            insert into undone values (key);
        else
            commit;
            insert into answer values (key, job, began, clock_timestamp());
        end if;
        commit;
    end loop;
end $$"""

FOUND = """
with of_job as (  -- when each was there for certain
    select a.key, min(a.returned) as since, e.began as until
    from answer a join ended e on e.id = a.id
    group by a.id, a.key, e.began having min(a.returned) < e.began
), in_turn as (
    select o.since, max(o.until) over (
        partition by o.key order by o.since
        rows between unbounded preceding and 1 preceding) as until_before
    from of_job o
)
select (select count(*) from answer) as answered,
       (select count(*) from undone) as undone,
       (select count(distinct a.id) from answer a) as jobs,
       (select count(*) from answer a left join howdah.jobs j on j.id = a.id
        where j.id is null or j.args ->> 'key' <> a.key) as of_another_key,
       (select count(*) from answer a join ended e on e.id = a.id
        where e.returned < a.began) as of_ended_jobs,
       (select count(*) from in_turn i where i.until_before > i.since) as twice_at_once"""


async def _produce(dsn, calls, seed):
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("call produce(%s, %s, %s)", [calls, KEYS, seed])


def _consume(dsn, produced, seed):
    """Ends what it claims, gives some back, until the producers are done and nothing is left."""
    chance = random.Random(seed)
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            is_last = produced.is_set()
            jobs = connection.execute("select id, lease from howdah.claim(n => 100)").fetchall()
            if not jobs and is_last:
                return
            back = [job for job in jobs if chance.random() < 0.1]
            for job in back:
                connection.execute("select howdah.release(%s, %s)", job)
            ended = [job for job in jobs if job not in back]
            ids, leases = [job for job, _ in ended], [lease for _, lease in ended]
            [began] = connection.execute("select clock_timestamp()").fetchone()
            connection.execute("select * from howdah.finish(%s, %s)", [ids, leases])
            connection.execute(
                "insert into ended select id, %s, clock_timestamp() from unnest(%s::uuid[]) id",
                [began, ids],
            )
