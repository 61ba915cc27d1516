-- Jobs that are due and not paused, of one queue or all, counted up to `cap`: for autoscalers.
create or replace function howdah.backlog(queue text default null, cap int default 10000) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    moment   timestamptz := _howdah.clock();
    ready    bigint;
    overdue  bigint;
begin
    if backlog.cap is null or backlog.cap < 0 then
        perform _howdah.refuse('JQ001', 'cap is negative', 'It is where counting stops, 10000 unless told otherwise.');
    end if;
    select count(*) into ready
    from (select from unnest(_howdah.sources(case when backlog.queue is not null then array[backlog.queue] end)) source (name)
          cross join lateral (select from _howdah.job j where j.state = 'r' and j.queue = source.name limit backlog.cap) r
          limit backlog.cap) n;
    select count(*) into overdue
    from (select from _howdah.job j  -- due, and not yet staged by anybody
          where j.state = 's' and j.run_at <= moment and (backlog.queue is null or j.queue = backlog.queue)
            and not exists (select from _howdah.queue q where q.name = j.queue and q.paused)
          limit backlog.cap) s;
    return least(backlog.cap, ready + overdue);
end $$;
