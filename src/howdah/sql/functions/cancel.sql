-- A waiting job is cancelled at once; the worker of a running one is asked to stop it, and it ends cancelled, even if it
-- finishes at the same instant. A job held without a worker and without an end to its lease has nobody to ask: it is cancelled
-- at once, and its holder's finish will be refused. A request is for the attempt that runs, and goes with it.
create or replace function howdah.cancel(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    job  record;
begin
    loop
        if cardinality(_howdah.settle(array[cancel.id], null, 'C', null, array['cancelled before it ran'])) = 1 then
            return true;
        end if;
        select j.state, j.lease, j.leased_until, l.worker into job
        from _howdah.job j left join _howdah.lease l on l.lease = j.lease
        where j.id = cancel.id;
        if not found then
            return false;
        end if;
        exit when job.state = 'x';  -- else it came back to waiting between the two looks
    end loop;
    if job.worker is null and job.leased_until is null then
        return cardinality(_howdah.end_attempts(array[cancel.id], array[job.lease], array['cancelled'], array['cancelled'],
                                                array['cancelled while it was held without a worker'], null)) = 1;
    end if;
    insert into _howdah.cancel_request as c (job_id, lease, requested_at) values (cancel.id, job.lease, _howdah.clock())
    on conflict (job_id) do update set lease = excluded.lease, requested_at = excluded.requested_at where c.lease <> excluded.lease;
    if found and job.worker is not null then
        perform pg_notify(_howdah.channel(), 'c' || left(job.worker::text, 8));
    end if;
    return found;
end $$;
