-- The newest migration that is applied, its functions too. A client compares it with what it needs.
create or replace function howdah.schema_version() returns int
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select coalesce((select min(u.version) from _howdah.unfinished u), max(m.number), 0) from _howdah.migration m $$;
