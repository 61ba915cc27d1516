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
            select distinct h.priority from _howdah.heads(array[q.name::text], '{}', 100) h) head
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
    return raised;
end $$;
