-- Jobs that are due and not paused, of one queue or all, counted up to `cap`: for autoscalers.
create or replace function howdah.backlog(queue text default null, cap int default 10000) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
    select least(backlog.cap, (
        select coalesce(sum(n.n), 0)
        from unnest(_howdah.sources(case when backlog.queue is not null then array[backlog.queue] end)) source (name)
        cross join lateral (
            select count(*) as n from (select from _howdah.job j where j.state = 'r' and j.queue = source.name limit backlog.cap) r) n
    ) + (
        select count(*) from (  -- due, and not yet staged by anybody
            select from _howdah.job j
            where j.state = 's' and j.run_at <= (select _howdah.clock()) and (backlog.queue is null or j.queue = backlog.queue)
              and not exists (select from _howdah.queue q where q.name = j.queue and q.paused)
            limit backlog.cap) s
    ))::bigint
$$;
