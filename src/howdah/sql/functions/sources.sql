-- The queues that a claim looks at: those that match and are not paused. Plain names and known queues cost nothing and may be
-- empty; patterns cost a descent of job_claim for each queue that holds ready jobs and is not known, and for each gap between
-- the known ones, whose dead rows are so not walked over.
create or replace function _howdah.sources(patterns text[], excluded text[] default null, known text[] default null, look boolean default true) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    names    text[] := patterns;
    likes    text[];
    unlikes  text[];
    mine     text collate "C" := known[1];
    others   boolean := look;
    paused   boolean;
begin
    -- All queues, and one of them known, as it mostly is: one query for what follows, since each is set up in each transaction anew.
    if look and cardinality(known) = 1 and excluded is null and (patterns is null or patterns = '{*}') then
        select exists (select from _howdah.job j where j.state = 'r' and j.queue < mine)
            or exists (select from _howdah.job j where j.state = 'r' and j.queue > mine), exists (select from _howdah.queue q where q.paused)
        into others, paused;
    else
        paused := exists (select from _howdah.queue q where q.paused);
    end if;
    if (patterns is null or patterns = '{*}') and excluded is null then
        names := coalesce(known || case when others then _howdah.ready_queues('{*}', known) end, '{}');  -- which jumps over those
    elsif patterns is null or array_to_string(patterns, ',') like '%*%' then
        likes := _howdah.like_patterns(patterns);
        if excluded <> '{}' then
            unlikes := _howdah.like_patterns(excluded);
        end if;
        names := array(
            select distinct q from unnest(known || case when look then _howdah.ready_queues(coalesce(patterns, '{*}'), known || excluded) end) q
            where (patterns is null or q like any (likes))
              and (unlikes is null or not (q like any (unlikes))));
    end if;
    if paused then
        names := array(select n from unnest(names) n
                       where not exists (select from _howdah.queue q where q.name = n and q.paused));
    end if;
    return names;
end $$;

-- The queues that match and hold ready jobs, but for those that match `but`, which it jumps over: one descent of job_claim for each
-- queue and each gap, however many jobs there are.
create or replace function _howdah.ready_queues(patterns text[] default '{*}', but text[] default null) returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set plan_cache_mode = force_generic_plan
as $$
declare
    lows   text[] collate "C";  -- what to jump over, in order
    highs  text[] collate "C";
    k      int;
    place  text collate "C";
    stop   text collate "C";
    queue  text;
    found_ones  text[] := '{}';
begin
    if cardinality(but) = 1 and right(but[1], 1) <> '*' then  -- the common one: a query is set up in each transaction anew
        lows := but;
        highs := array[but[1] || chr(1)];
    elsif but <> '{}' then
        select array_agg(n.low order by n.low collate "C"), array_agg(n.high order by n.low collate "C") into lows, highs
        from _howdah.names_of(but) n;
    end if;
    for place, stop in select n.low, n.high from _howdah.names_of(patterns) n loop
        k := 1;
        <<walk>>
        loop
            while lows[k] <= place loop
                place := greatest(place, highs[k]);
                k := k + 1;
            end loop;
            exit when place >= stop;
            select j.queue into queue from _howdah.job j
            where j.state = 'r' and j.queue >= place and j.queue < least(stop, lows[k]) order by j.queue limit 1;
            if queue is not null then
                found_ones := found_ones || queue;
                place := queue || chr(1);  -- the next longer name
            else
                place := least(stop, lows[k]);
            end if;
        end loop;
    end loop;
    return found_ones;
end $$;

-- Names and patterns as what lies between: low <= name < high.
create or replace function _howdah.names_of(patterns text[]) returns table (low text, high text)
language sql stable
as $$
    select case when pg_catalog.right(p, 1) = '*' then pg_catalog.left(p, -1) else p end,
           case when pg_catalog.right(p, 1) = '*' then pg_catalog.left(p, -1) || _howdah.last_name()
                else p || pg_catalog.chr(1) end
    from pg_catalog.unnest(patterns) p
$$;

-- Sorts behind all that begins alike, in the database's encoding.
create or replace function _howdah.last_name() returns text
language sql stable
return case when pg_catalog.getdatabaseencoding() = 'UTF8' then pg_catalog.chr(1114111)
            when pg_catalog.getdatabaseencoding() like any ('{EUC%,MULE%}') then pg_catalog.convert_from('\xfefe', pg_catalog.getdatabaseencoding())
            else pg_catalog.chr(255) end;

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

-- How many ready jobs a queue holds, counted up to `cap`. Walks along job_claim and stops: a bitmap would be made of them all.
create or replace function _howdah.count_ready(queue text, cap int) returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
as $$ select count(*) from (select from _howdah.job j where j.state = 'r' and j.queue = count_ready.queue limit count_ready.cap) r $$;

-- The jobs that are due next, of each queue, counted up to `cap` in all.
create or replace function _howdah.count_scheduled(cap int) returns table (queue text, n bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
    select s.queue, count(*) from (select j.queue from _howdah.job j where j.state = 's' order by j.run_at limit count_scheduled.cap) s
    group by s.queue
$$;

-- How many failed jobs each queue has in history, of at most `cap`, among the `seen` that failed or were cancelled with the greatest
-- ids. Walks down the ids and stops: no index tells failed from cancelled ones, and those may be millions.
create or replace function _howdah.count_failed(seen int, cap int) returns table (queue text, n bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
    select f.queue, count(*) from (
        select s.queue from (select h.queue, h.state from _howdah.finished_failed h order by h.id desc limit count_failed.seen) s
        where s.state = 'F' limit count_failed.cap) f
    group by f.queue
$$;

-- The same of blocked jobs.
create or replace function _howdah.count_blocked(queue text, cap int) returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
as $$
    select count(*) from (select from _howdah.job j where j.state in ('b', 'w') and j.queue = count_blocked.queue limit count_blocked.cap) b
$$;

-- The queues that hold blocked jobs: one descent of job_blocked for each.
create or replace function _howdah.blocked_queues() returns text[]
language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
    with recursive found (queue) as (
        (select j.queue from _howdah.job j where j.state in ('b', 'w') order by j.queue limit 1)
        union all
        select next.queue from found
        cross join lateral (
            select j.queue from _howdah.job j where j.state in ('b', 'w') and j.queue > found.queue order by j.queue limit 1) next
    )
    select coalesce(array_agg(f.queue::text), '{}') from found f
$$;
