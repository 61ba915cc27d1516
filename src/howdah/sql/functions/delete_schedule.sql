-- Removes a schedule; its jobs stay. Returns false where there is none. Code that still declares it makes it anew.
create or replace function howdah.delete_schedule(name text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    gone  boolean;
begin
    delete from _howdah.schedule s where s.name = delete_schedule.name;
    gone := found;
    delete from _howdah.tick t where t.schedule = delete_schedule.name;
    return gone;
end $$;
