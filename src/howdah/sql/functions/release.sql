-- Gives a job back without charging the attempt, to the front of its priority.
create or replace function howdah.release(id uuid, lease uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform _howdah.finish_one(release.id, release.lease, 'released', null, null, null, null);
end $$;
