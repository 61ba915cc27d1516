-- Makes scheduled jobs ready whose time has come, in the order of their times.
create or replace function _howdah.stage(n int) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
    moment  timestamptz := _howdah.clock();  -- in the query it would be volatile, and no condition for the index
    due     uuid[];
begin
    due := array(select j.id from _howdah.job j where j.state = 's' and j.run_at <= moment
                 order by j.run_at limit stage.n for update skip locked);
    return case when due = '{}' then 0 else cardinality(_howdah.make_ready(due)) end;
end $$;

-- For workers, which call it whenever they look around: how many it made ready.
create or replace function howdah.stage() returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select case when _howdah.next_due() <= _howdah.clock() then _howdah.stage(1000) else 0 end $$;

create or replace function _howdah.next_due() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$ select j.run_at from _howdah.job j where j.state = 's' order by j.run_at limit 1 $$;
