-- Where these queues hold ready jobs: the first of each priority, in the order in which they are to be claimed (greatest priority
-- first within a queue, the queues by their own first job). Of a priority without a floor up to `most` are looked for.
-- A floor is a seq up to which a priority of a queue holds none; what was released to the front (seq < 0) is looked for all the
-- same. One descent of job_claim for each floor, its front, and each gap between priorities with floors: no dead row below a floor is
-- walked over.
create or replace function _howdah.heads(names text[], floors _howdah.floor[], most int) returns setof _howdah.head
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
    with recursive floor as materialized (
        select f.queue, f.priority, f.seq from unnest(heads.floors) f where f.queue = any (heads.names)
    ), gap as materialized (
        select n.queue, lower(g) as low, upper(g) as high
        from unnest(heads.names) n (queue)
        cross join lateral unnest(
            int8multirange(int8range(-2147483648, 2147483648))
            - coalesce((select range_agg(int8range(f.priority, f.priority, '[]')) from floor f where f.queue = n.queue), '{}')) g
    ), found as (
        select gap.queue, gap.low, first.priority, first.seq, 1 as nth
        from gap cross join lateral (
            select j.priority, j.seq from _howdah.job j
            where j.state = 'r' and j.queue = gap.queue and j.priority >= gap.low and j.priority < gap.high
            order by j.priority desc, j.seq limit 1) first
        union all
        select found.queue, found.low, next.priority, next.seq, found.nth + 1
        from found cross join lateral (
            select j.priority, j.seq from _howdah.job j
            where j.state = 'r' and j.queue = found.queue and j.priority >= found.low and j.priority < found.priority
            order by j.priority desc, j.seq limit 1) next
        where found.nth < heads.most
    ), head as (
        select found.queue, found.priority, -9223372036854775808 as after, 9223372036854775807 as before, found.seq from found
        union all
        select floor.queue, floor.priority, part.after, part.before, first.seq
        from floor
        cross join lateral (values (-9223372036854775808, 0), (floor.seq, 9223372036854775807)) part (after, before)
        cross join lateral (
            select j.seq from _howdah.job j
            where j.state = 'r' and j.queue = floor.queue and j.priority = floor.priority and j.seq > part.after and j.seq < part.before
            order by j.seq limit 1) first
    )
    select head.queue, head.priority, head.after, head.before, head.seq from head
    window of_queue as (partition by head.queue order by head.priority desc, head.seq)
    order by first_value(head.priority) over of_queue desc, first_value(head.seq) over of_queue, head.priority desc, head.seq;
end $$;

-- Floors as they are passed: {"floors": [[queue, priority, seq], …]}.
create or replace function _howdah.floors_of(given jsonb) returns _howdah.floor[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return array(select row(f ->> 0, (f ->> 1)::int, (f ->> 2)::bigint)::_howdah.floor from jsonb_array_elements(given -> 'floors') f);
end $$;

-- How far a claim got in each priority that it looked at, [[queue, priority, reached, next], …]: up to `reached` it took all that it
-- could; `next` is a job up to there which is ready all the same, because somebody else has it locked, or it is not wanted now.
-- To be asked after the claimed rows were changed, in a new snapshot.
create or replace function _howdah.reached(
    hi        bigint,           -- no seq beyond this was given out when the claim began
    sources   text[],
    floors    _howdah.floor[],
    heads     _howdah.head[],
    places    int[],            -- of the rows that it took: which head each comes from,
    seqs      bigint[],         -- and its seq
    is_full   boolean,          -- it stopped because it had enough
    names     text[],           -- of tasks; NULL: all
    likes     text[]
) returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
#variable_conflict use_column
begin
    return (
        with looked as (
            select l.queue, l.priority, min(l.start) as start, max(l.top) as top
            from (select f.queue, f.priority, null::bigint as start, null::bigint as top
                  from unnest(reached.floors) f where f.queue = any (reached.sources)
                  union all
                  select h.queue, h.priority, case when h.before > 0 then greatest(h.seq, 0) end, null from unnest(reached.heads) h
                  union all
                  select heads[t.place].queue, heads[t.place].priority, null, t.seq
                  from unnest(reached.places, reached.seqs) t (place, seq) where t.seq >= 0) l
            group by l.queue, l.priority
        ), got as (
            select l.queue, l.priority, l.start,
                   case when l.start is null or not reached.is_full then reached.hi else least(l.top, reached.hi) end as reached
            from looked l
        )
        select jsonb_agg(jsonb_build_array(
                   got.queue, got.priority, got.reached,
                   (select j.seq from _howdah.job j
                    where j.state = 'r' and j.queue = got.queue and j.priority = got.priority and j.seq >= got.start and j.seq <= got.reached
                      and (reached.names is null or j.task = any (reached.names) or j.task like any (reached.likes))
                    order by j.seq limit 1)))
        from got where got.reached is not null);
end $$;
