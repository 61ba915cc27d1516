-- A worker that goes: what it still holds is released uncharged, and its row is gone.
create or replace function howdah.leave(worker uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- Waits for a claim that is under way, and then sees its lease; whoever claims after us is refused.
    perform from _howdah.worker w where w.id = leave.worker for update;
    delete from _howdah.idle i where i.worker = leave.worker;
    perform _howdah.release_leases(leave.worker, '{}');
    delete from _howdah.worker w where w.id = leave.worker
        and not exists (select from _howdah.lease l where l.worker = leave.worker);
    return found;
end $$;

-- Releases, uncharged, the jobs of this worker's leases that are not among the given ones.
create or replace function _howdah.release_leases(worker uuid, held uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    stray  uuid;
begin
    for stray in
        select l.lease from _howdah.lease l
        where l.worker = release_leases.worker and l.lease <> all (held)
        order by l.claimed_at for update skip locked
    loop
        perform _howdah.end_lease(stray, 'released');
    end loop;
end $$;
