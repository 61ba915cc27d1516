-- Ends the attempts of leases that ran out without a worker: failed attempts, with the task's backoff.
create or replace function _howdah.expire(n int) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    moment  timestamptz := _howdah.clock();  -- in the query it would be volatile, and no condition for the index
    ended   record;
begin
    -- Requests whose attempt has ended in another way; while there are any, finishes look more closely.
    delete from _howdah.cancel_request c
    where not exists (select from _howdah.job j where j.id = c.job_id and j.lease = c.lease);
    select array_agg(e.id) as ids, array_agg(e.lease) as leases, array_agg('retry'::text) as kinds,
           array_agg('expired'::text) as reasons, array_agg('expired: the lease ran out'::text) as errors
    into ended
    from (select j.id, j.lease from _howdah.job j where j.leased_until <= moment
          order by j.leased_until limit expire.n for update skip locked) e;
    return case when ended.ids is null then 0
                else cardinality(_howdah.end_attempts(ended.ids, ended.leases, ended.kinds, ended.reasons, ended.errors, null)) end;
end $$;
