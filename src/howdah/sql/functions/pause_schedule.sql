-- A paused schedule fires no more; what it would have fired meanwhile is not missed. Returns whether anything changed.
create or replace function howdah.pause_schedule(name text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.set_schedule_paused(pause_schedule.name, true) $$;

create or replace function howdah.resume_schedule(name text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.set_schedule_paused(resume_schedule.name, false) $$;

create or replace function _howdah.set_schedule_paused(name text, paused boolean) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update _howdah.schedule s
    set paused = set_schedule_paused.paused, revision = nextval('_howdah.schedule_revision'),
        handled = greatest(s.handled, _howdah.clock()), next_at = null, taken_until = null
    where s.name = set_schedule_paused.name and s.paused <> set_schedule_paused.paused;
    if not found then
        perform _howdah.check_is_schedule(set_schedule_paused.name);
        return false;
    end if;
    return true;
end $$;

create or replace function _howdah.check_is_schedule(name text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from _howdah.schedule s where s.name = check_is_schedule.name) then
        perform _howdah.refuse('JQ004', format('there is no schedule %L', check_is_schedule.name), 'See howdah.schedules for those that are.');
    end if;
end $$;
