-- The channel of this schema's notifications: 'w' and workers to wake, 'c' and workers to look at their control, 'f' and
-- finished jobs somebody waits for. Workers are named by the first 8 characters of their ids.
create or replace function howdah.channel() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.channel() $$;
