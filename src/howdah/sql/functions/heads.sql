-- Where these queues hold ready jobs: the first of each priority, in the order in which they are to be claimed (greatest priority
-- first within a queue, the queues by their own first job). Of a priority without a floor up to `most` are looked for.
-- A floor is a seq up to which a priority of a queue holds none; what was released to the front (seq < 0) is looked for all the
-- same. One descent of job_claim for each floor, its front, and each gap between priorities with floors: no dead row below a floor is
-- walked over.
create or replace function _howdah.heads(floors _howdah.floor[], names text[], most int) returns _howdah.head[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    known   _howdah.floor := floors[1];
    others  boolean := true;
    front   bigint;
    first   bigint;
begin
    -- One queue and one priority that is known, as it mostly is, and nothing in another: the plan below is set up in each transaction anew.
    if cardinality(floors) = 1 and names = array[known.queue] then
        select exists (select from _howdah.job j where j.state = 'r' and j.queue = known.queue and j.priority > known.priority)
               or exists (select from _howdah.job j where j.state = 'r' and j.queue = known.queue and j.priority < known.priority),
               (select j.seq from _howdah.job j
                where j.state = 'r' and j.queue = known.queue and j.priority = known.priority and j.seq < 0 order by j.seq limit 1),
               (select j.seq from _howdah.job j
                where j.state = 'r' and j.queue = known.queue and j.priority = known.priority and j.seq > known.seq order by j.seq limit 1)
        into others, front, first;
    end if;
    if not others then
        return case when front is not null then array[row(known.queue, known.priority, -9223372036854775808, 0, front)::_howdah.head] else '{}' end
            || case when first is not null then array[row(known.queue, known.priority, known.seq, 9223372036854775807, first)::_howdah.head] else '{}' end;
    end if;
    return array(
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
        select row(head.queue, head.priority, head.after, head.before, head.seq)::_howdah.head from head
        window of_queue as (partition by head.queue order by head.priority desc, head.seq)
        order by first_value(head.priority) over of_queue desc, first_value(head.seq) over of_queue, head.priority desc, head.seq);
end $$;

-- Floors as they are passed: {"floors": [[queue, priority, seq], …]}.
create or replace function _howdah.floors_of(given jsonb) returns _howdah.floor[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_array_length(given -> 'floors') = 1 then
        return array[row(given #>> '{floors,0,0}', (given #>> '{floors,0,1}')::int, (given #>> '{floors,0,2}')::bigint)::_howdah.floor];
    end if;
    return array(select row(f ->> 0, (f ->> 1)::int, (f ->> 2)::bigint)::_howdah.floor from jsonb_array_elements(given -> 'floors') f);
end $$;

-- What a claim left behind in each priority that it looked at, [[queue, priority, seq], …]: the first job up to `hi` which is ready all
-- the same, because it was not taken, or not wanted now, or somebody has it locked and may yet roll back; NULL: there is none.
-- To be asked after the claimed rows were changed, in a new snapshot.
create or replace function _howdah.left_behind(
    hi       bigint,            -- no seq beyond this was given out when the claim began
    sources  text[],
    floors   _howdah.floor[],
    heads    _howdah.head[],
    names    text[],            -- of tasks; NULL: all
    likes    text[],
    ranged   text[] default null  -- of the names those that are versions
) returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    known   _howdah.floor := floors[1];
    looked  _howdah.floor[];  -- each with where it begins; NULL: nothing was there
begin
    if cardinality(floors) = 1 and known.queue = any (sources)
       and (heads = '{}' or cardinality(heads) = 1 and (heads[1]).queue = known.queue and (heads[1]).priority = known.priority) then
        looked := array[row(known.queue, known.priority, case when (heads[1]).before > 0 then greatest((heads[1]).seq, 0) end)::_howdah.floor];
    else
        looked := array(
            select row(l.queue, l.priority, min(l.first))::_howdah.floor
            from (select f.queue, f.priority, null::bigint as first from unnest(left_behind.floors) f where f.queue = any (left_behind.sources)
                  union all
                  select h.queue, h.priority, case when h.before > 0 then greatest(h.seq, 0) end from unnest(left_behind.heads) h) l
            group by l.queue, l.priority);
    end if;
    return (
        select jsonb_agg(jsonb_build_array(l.queue, l.priority, (
                   select j.seq from _howdah.job j
                   where j.state = 'r' and j.queue = l.queue and j.priority = l.priority and j.seq >= l.seq and j.seq <= left_behind.hi
                     and (left_behind.names is null or j.task = any (left_behind.names) or j.task like any (left_behind.likes)
                        or left_behind.ranged is not null and strpos(j.task, '@') > 0 and _howdah.in_range(j.task, left_behind.ranged))
                   order by j.seq limit 1)))
        from unnest(looked) l);
end $$;
