-- Gives a running job more time, counted from now: its lease where no worker renews it, else its deadline.
-- Returns when that ends. Refused with JQ002 when the lease is lost.
create or replace function howdah.extend(id uuid, lease uuid, duration interval) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
begin
    if duration is null or duration <= interval '0' or duration > interval '1 year' then
        perform _howdah.refuse('JQ001', 'duration must be positive and at most a year', 'For example interval ''5 min''.');
    end if;
    -- With a worker, which minds the deadline itself, there is nothing to write: the lease lasts as long as its heart beats.
    update _howdah.job j set leased_until = moment + duration
    where j.id = extend.id and j.lease = extend.lease and j.leased_until > moment;
    if not found then
        perform from _howdah.job j where j.id = extend.id and j.lease = extend.lease and j.leased_until is null;
    end if;
    if not found then
        perform _howdah.refuse('JQ002', format('job %s is not held under this lease', extend.id),
            'The lease ran out, or was never of this job; somebody else may be running it. Nothing was changed.');
    end if;
    return moment + duration;
end $$;
