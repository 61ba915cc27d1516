-- Raises by one the priority of jobs that have waited for age_after since they were due, or were raised last: in queues that say so, of each
-- priority the oldest, in bounded batches. How many.
create or replace function _howdah.age(n int) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = on set jit = off
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    aged    record;
    raised  int := 0;
    old     uuid[];
begin
    for aged in
        select q.name, q.age_after, head.priority from _howdah.queue q cross join lateral (
            select distinct h.priority from unnest(_howdah.heads('{}'::_howdah.floor[], array[q.name::text], 100)) h) head
        where q.age_after is not null order by q.name, head.priority desc
    loop
        old := array(
            select j.id
            from (select o.id, o.created_at, o.run_at, o.aged, o.seq from _howdah.job o
                  where o.state = 'r' and o.queue = aged.name and o.priority = aged.priority
                  order by o.seq limit age.n for update skip locked) j
            where coalesce(j.run_at, j.created_at) + aged.age_after * (coalesce(j.aged, 0) + 1) <= moment
            order by j.seq);
        continue when old = '{}' or aged.priority = 2147483647;
        update _howdah.job j set priority = j.priority + 1, aged = coalesce(j.aged, 0) + 1 where j.id = any (old);
        raised := raised + cardinality(_howdah.make_ready(old, admitted => true));
    end loop;
    return raised + case when exists (select from _howdah.queue q where q.age_after is not null) then _howdah.age_blocked(age.n) else 0 end;
end $$;

-- The same for those that wait for a limit, or in a queue that is served in shares: of the first thousand lines (a key and a priority) of
-- each such queue, and of all limits, the oldest hundred. A job that waits for its serial key is in no such line yet: it has priority over nobody.
create or replace function _howdah.age_blocked(n int) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
set enable_hashjoin = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    line    record;
    old     uuid[];
    raised  int := 0;
begin
    for line in
        with recursive span as (  -- of the keys; each queue's own, and those of limits, which begin with no control character
            select chr(1) || q.name || chr(1) as low, chr(1) || q.name || chr(2) as high from _howdah.queue q
            where q.age_after is not null and q.fair_by is not null
            union all
            select chr(2), null
        ), line as (
            select first.waits_for, first.priority, span.high, 1 as nth
            from span cross join lateral (
                select j.waits_for, j.priority from _howdah.job j
                where j.state = 'b' and j.waits_for > span.low order by j.waits_for, j.priority desc limit 1) first
            where first.waits_for < span.high or span.high is null
            union all
            select next.waits_for, next.priority, line.high, line.nth + 1
            from line cross join lateral (
                (select j.waits_for, j.priority from _howdah.job j
                 where j.state = 'b' and j.waits_for = line.waits_for and j.priority < line.priority order by j.priority desc limit 1)
                union all
                (select j.waits_for, j.priority from _howdah.job j
                 where j.state = 'b' and j.waits_for > line.waits_for order by j.waits_for, j.priority desc limit 1)
                limit 1) next
            where line.nth < 1000 and (next.waits_for < line.high or line.high is null)
        )
        select line.waits_for, line.priority from line where line.priority < 2147483647 order by line.nth
    loop
        exit when raised >= age_blocked.n;
        old := array(
            select first.id
            from (select j.id, j.queue, j.created_at, j.run_at, j.aged, j.seq from _howdah.job j
                  where j.state = 'b' and j.waits_for = line.waits_for and j.priority = line.priority order by j.seq limit 100) first
            join _howdah.queue q on q.name = first.queue
            where coalesce(first.run_at, first.created_at) + q.age_after * (coalesce(first.aged, 0) + 1) <= moment);
        continue when old = '{}';
        with held as materialized (  -- by id alone, as turns are
            select j.id, j.state from _howdah.job j where j.id = any (old) order by j.id for update skip locked)
        select array_agg(h.id) into old from held h where h.state = 'b';
        continue when old is null;
        update _howdah.job j set priority = j.priority + 1, aged = coalesce(j.aged, 0) + 1 where j.id = any (old);
        raised := raised + cardinality(old);
        if _howdah.anybody_watching() then
            perform _howdah.tell_live(old);
        end if;
    end loop;
    return raised;
end $$;
