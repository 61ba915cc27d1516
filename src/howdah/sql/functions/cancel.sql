-- A waiting job is cancelled at once; the worker of a running one is asked to stop it, and it ends cancelled, even if it
-- finishes at the same instant.
create or replace function howdah.cancel(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    job     record;
begin
    loop
        if cardinality(_howdah.settle(array[cancel.id], null, 'C', null, array['cancelled before it ran'])) = 1 then
            return true;
        end if;
        select j.state, l.worker into job from _howdah.job j left join _howdah.lease l on l.lease = j.lease
        where j.id = cancel.id;
        if not found then
            return false;
        end if;
        exit when job.state = 'x';  -- else it came back to waiting between the two looks
    end loop;
    insert into _howdah.cancel_request (job_id, requested_at) values (cancel.id, _howdah.clock()) on conflict do nothing;
    if found and job.worker is not null then
        perform pg_notify(_howdah.channel(), 'c' || left(job.worker::text, 8));
    end if;
    return found;
end $$;
