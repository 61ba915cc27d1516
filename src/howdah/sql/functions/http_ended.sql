-- Tells on a channel of each job's own that it has ended. Called by settle, for URL jobs alone.
create or replace function _howdah.http_ended(ids uuid[]) returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select pg_notify('howdah_job_' || i.id::text, i.id::text) from unnest(http_ended.ids) i (id) $$;
