-- Jobs that are due and not paused, of one queue or all, counted up to `cap`: for autoscalers.
create or replace function howdah.backlog(queue text default null, cap int default 10000) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
    select least(backlog.cap, coalesce(sum(n.n), 0))::bigint
    from unnest(_howdah.sources(case when backlog.queue is not null then array[backlog.queue] end)) source (name)
    cross join lateral (
        select count(*) as n from (select from _howdah.job j where j.state = 'r' and j.queue = source.name limit backlog.cap) r) n
$$;
