-- Removes a listener; its jobs stay. Returns false where there is none. Code that still declares it makes it anew.
create or replace function howdah.delete_listener(name text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    gone  boolean;
begin
    delete from _howdah.listener l where l.name = delete_listener.name;
    gone := found;
    delete from _howdah.gathering g where g.listener = delete_listener.name;
    return gone;
end $$;

-- A paused listener hears nothing. Returns whether anything changed.
create or replace function howdah.pause_listener(name text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.set_listener_paused(pause_listener.name, true) $$;

create or replace function howdah.resume_listener(name text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.set_listener_paused(resume_listener.name, false) $$;

create or replace function _howdah.set_listener_paused(name text, paused boolean) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update _howdah.listener l set paused = set_listener_paused.paused
    where l.name = set_listener_paused.name and l.paused <> set_listener_paused.paused;
    if found then
        return true;
    elsif not exists (select from _howdah.listener l where l.name = set_listener_paused.name) then
        perform _howdah.refuse('JQ004', format('there is no listener %L', name), 'See howdah.listeners for those that are.');
    end if;
    return false;
end $$;
