-- A scheduled job becomes ready now.
create or replace function howdah.run_now(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    return exists (select from _howdah.job j where j.id = run_now.id and j.state = 's')
       and cardinality(_howdah.make_ready(array[run_now.id], null, array[_howdah.clock()])) = 1;
end $$;
