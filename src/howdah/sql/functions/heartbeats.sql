-- Keeps several workers alive, with the leases of all their jobs: for whoever started them and knows that they live. Answers what
-- each is to do (go, drain, kill …; or swept: its jobs were given to others), and how long it may be silent.
create or replace function howdah.heartbeats(workers uuid[]) returns table (worker uuid, action text, lost_after interval)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
begin
    update _howdah.worker w set beat_at = moment
    from (select k.id from _howdah.worker k
          where k.id = any (heartbeats.workers) and k.beat_at not between moment - k.lost_after / 15 and moment
          order by k.id for no key update skip locked) due
    where w.id = due.id;
    perform _howdah.beat();
    return query
    select u.id, coalesce(w.control, 'swept'), w.lost_after from unnest(heartbeats.workers) u (id) left join _howdah.worker w on w.id = u.id;
end $$;
