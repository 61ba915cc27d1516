-- Makes scheduled jobs ready whose time has come, in the order of their times.
create or replace function _howdah.stage(n int) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    moment  timestamptz := _howdah.clock();  -- in the query it would be volatile, and no condition for the index
    start   timestamptz := _howdah.due_from();
    due     uuid[];
begin
    due := array(select j.id from _howdah.job j where j.state = 's' and j.run_at >= start and j.run_at <= moment
                 order by j.run_at limit stage.n for update skip locked);
    return case when due = '{}' then 0 else cardinality(_howdah.make_ready(due)) end;
end $$;

-- For workers, which call it whenever they look around: how many it made ready.
create or replace function howdah.stage() returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select case when _howdah.next_due() <= _howdah.clock() then _howdah.stage(1000) else 0 end $$;

-- When the next scheduled job is due; NULL: there is none.
create or replace function _howdah.next_due() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp
as $$ select least(_howdah.first_due(_howdah.due_from()), (select min(p.due) from _howdah.pending p)) $$;

create or replace function _howdah.first_due(start timestamptz) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$ select j.run_at from _howdah.job j where j.state = 's' and j.run_at >= first_due.start order by j.run_at limit 1 $$;

-- Where a look for due jobs begins: the staged ones below it may be dead rows that nobody can remove. The beat, once a second,
-- looks from 30 s below, and once a minute from the very start: so a job that comes to light below (its transaction was
-- still open) is found within a second, or within a minute when that was open for longer. Without beats all is looked at.
create or replace function _howdah.due_from() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select case when p.all_looked_at not between m.moment - interval '90 s' and m.moment then '-infinity'
                when p.beat_at not between m.moment - interval '3 s' and m.moment then p.due_from - interval '30 s'
                else p.due_from end
    from _howdah.pulse p cross join (select _howdah.clock() as moment offset 0) m where p.only_row
$$;
