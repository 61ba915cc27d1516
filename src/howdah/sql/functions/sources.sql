-- The queues that a claim looks at, in the order of their heads: those that match, are not paused and hold ready jobs.
-- A plain name costs nothing; patterns cost a descent of job_claim for each queue that has ready jobs.
create or replace function _howdah.sources(patterns text[], excluded text[] default null) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
    names  text[] := patterns;
begin
    if patterns is null or exists (select from unnest(patterns) p where p like '%*') then
        names := array(select q from unnest(_howdah.ready_queues()) q
                       where (patterns is null or q like any (_howdah.like_patterns(patterns)))
                         and not (q like any (_howdah.like_patterns(coalesce(excluded, '{}')))));
    end if;
    if exists (select from _howdah.queue q where q.paused) then
        names := array(select n from unnest(names) n
                       where not exists (select from _howdah.queue q where q.name = n and q.paused));
    end if;
    if cardinality(names) > 1 then
        names := array(
            select n.queue from unnest(names) n (queue)
            cross join lateral (
                select j.priority, j.seq from _howdah.job j where j.state = 'r' and j.queue = n.queue
                order by j.priority desc, j.seq limit 1) head
            order by head.priority desc, head.seq);
    end if;
    return names;
end $$;

-- The queues that hold ready jobs: one descent of job_claim each, however many jobs there are.
create or replace function _howdah.ready_queues() returns text[]
language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
    with recursive ready (queue) as (
        (select j.queue from _howdah.job j where j.state = 'r' order by j.queue limit 1)
        union all
        select (select j.queue from _howdah.job j where j.state = 'r' and j.queue > ready.queue order by j.queue limit 1)
        from ready where ready.queue is not null
    )
    select array_agg(ready.queue::text) from ready where ready.queue is not null
$$;

-- Since when the longest waiting ready job of a queue waits: the first of each priority, one descent each.
create or replace function _howdah.oldest(queue text) returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
    with recursive head (priority, since) as (
        (select j.priority, coalesce(j.run_at, j.created_at) from _howdah.job j where j.state = 'r' and j.queue = oldest.queue
         order by j.priority desc, j.seq limit 1)
        union all
        select next.priority, next.since from head
        cross join lateral (
            select j.priority, coalesce(j.run_at, j.created_at) as since from _howdah.job j
            where j.state = 'r' and j.queue = oldest.queue and j.priority < head.priority
            order by j.priority desc, j.seq limit 1) next
    )
    select min(since) from (select head.since from head limit 100) heads
$$;
