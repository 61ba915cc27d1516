-- Ends attempts that did not simply succeed: judges each, writes it down in _howdah.attempt, and sends the job on its way.
-- kinds: retry (by the job's own limits), failed (never again), cancelled, snoozed and released (both uncharged), lost (its
-- worker died: uncharged, but a crash), crashed (the same, and it may well have been this job that did it: it becomes a suspect,
-- as it does by its second crash), hung (as retry, but a crash is counted as well). A job whose cancelling was asked for is not run again. An attempt that may never be repeated
-- (at_most_once) fails instead. Returns the ids that it moved.
-- Bitmaps only: they need a condition for the index. Where a vacuum found nothing alive in a table that it could not shorten, a join
-- would be turned round otherwise, and walk over all of job_pkey.
create or replace function _howdah.end_attempts(
    ids       uuid[],
    leases    uuid[],
    kinds     text[],
    reasons   text[],                       -- what attempts.outcome says: error, timeout, lost, expired, …
    errors    text[],
    retry_in  interval[],                   -- NULL: the task's backoff
    retry_at  timestamptz[] default null,   -- instead of retry_in
    results   jsonb[] default null          -- of those that failed for good, where they have any
) returns uuid[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on
set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
declare
    moment       timestamptz := _howdah.clock();
    max_crashes  int := (select s.max_crashes from _howdah.setting s);
    judged       record;
begin
    with ended as materialized (
        select j.id, j.lease, j.attempt, j.task, j.attempt - coalesce(j.base_attempt, 0) as tried, o.kind, o.reason, o.error,
               case when o.kind = 'failed' then o.result end as result,
               case when o.retry_at is not null or o.retry_in is not null
                    then greatest(coalesce(o.retry_at, moment + o.retry_in), moment) end as again_at, o.ordinal, l.worker, l.claimed_at, j.delivery,
               o.kind in ('crashed', 'hung') or j.crashes > 0 as is_suspect,
               case
                   when o.kind in ('failed', 'cancelled') then o.kind
                   when exists (select from _howdah.cancel_request c where c.job_id = j.id and c.lease = j.lease) then 'cancelled'
                   when o.kind in ('retry', 'lost', 'crashed', 'hung') and j.delivery = 'm' then 'failed'
                   when o.kind in ('retry', 'hung') and j.attempt >= coalesce(j.max_attempts, 4) then 'failed'
                   when o.kind in ('lost', 'crashed', 'hung') and j.crashes + 1 >= max_crashes then 'failed'
                   when o.kind = 'crashed' then 'lost'
                   when o.kind in ('snoozed', 'hung') then 'retry'
                   else o.kind
               end as verdict
        from unnest(ids, leases, kinds, reasons, errors, retry_in, retry_at, results) with ordinality
             o (id, lease, kind, reason, error, retry_in, retry_at, result, ordinal)
        join _howdah.job j on j.id = o.id and j.lease = o.lease
        left join _howdah.lease l on l.lease = j.lease
        order by j.id for update of j  -- else one that its own transaction is just ending would be written down as well
    ), noted as (
        insert into _howdah.attempt (started_at, finished_at, attempt, job_id, lease, worker, outcome, error)
        select e.claimed_at, moment, e.attempt, e.id, e.lease, e.worker, e.reason, e.error from ended e
    )
    select array_agg(e.id) filter (where e.verdict = 'failed') as failed_ids,
           array_agg(e.lease) filter (where e.verdict = 'failed') as failed_leases,
           array_agg(case when e.kind = 'crashed' and e.delivery = 'm' then coalesce('lost: ' || e.error, 'lost')
                          when e.reason not in ('lost', 'expired') then e.error when e.delivery = 'm' then 'lost'
                          when e.reason = 'lost' then 'worker lost' else e.error end)
               filter (where e.verdict = 'failed') as failed_errors,
           array_agg(e.result) filter (where e.verdict = 'failed') as failed_results,
           array_agg(e.id) filter (where e.verdict = 'cancelled') as cancelled_ids,
           array_agg(e.lease) filter (where e.verdict = 'cancelled') as cancelled_leases,
           array_agg(e.error) filter (where e.verdict = 'cancelled') as cancelled_errors,
           array_agg(e.id order by e.ordinal) filter (where e.verdict = 'retry' and e.kind in ('retry', 'hung')) as retry_ids,
           array_agg(e.lease order by e.ordinal) filter (where e.verdict = 'retry' and e.kind in ('retry', 'hung')) as retry_leases,
           array_agg(coalesce(e.again_at, moment + _howdah.backoff(e.task, e.tried)) order by e.ordinal)
               filter (where e.verdict = 'retry' and e.kind in ('retry', 'hung')) as retry_at,
           array_agg(e.id order by e.ordinal) filter (where e.verdict = 'retry' and e.kind = 'snoozed') as snoozed_ids,
           array_agg(e.lease order by e.ordinal) filter (where e.verdict = 'retry' and e.kind = 'snoozed') as snoozed_leases,
           array_agg(e.again_at order by e.ordinal)
               filter (where e.verdict = 'retry' and e.kind = 'snoozed') as snoozed_until,
           array_agg(e.id) filter (where e.verdict = 'released') as released_ids,
           array_agg(e.lease) filter (where e.verdict = 'released') as released_leases,
           array_agg(e.id) filter (where e.verdict = 'lost') as lost_ids,
           array_agg(e.lease) filter (where e.verdict = 'lost') as lost_leases,
           array_agg(e.id) filter (where e.verdict = 'lost' and e.is_suspect or e.verdict = 'retry' and e.kind = 'hung') as suspect_ids,
           array_agg(e.lease) filter (where e.verdict = 'lost' and e.is_suspect or e.verdict = 'retry' and e.kind = 'hung') as suspect_leases,
           array_agg((e.kind = 'hung')::int) filter (where e.verdict = 'lost' and e.is_suspect or e.verdict = 'retry' and e.kind = 'hung') as suspect_crashes,
           array_agg(e.id) filter (where e.verdict = 'failed' and e.kind in ('lost', 'crashed', 'hung')) as died_ids,
           array_agg(e.lease) filter (where e.verdict = 'failed' and e.kind in ('lost', 'crashed', 'hung')) as died_leases
    into judged from ended e;

    if judged.died_ids is not null then  -- history says of how many crashes it failed, this one included
        update _howdah.job j set crashes = j.crashes + 1
        from unnest(judged.died_ids, judged.died_leases) d (id, lease) where j.id = d.id and j.lease = d.lease;
    end if;

    if judged.suspect_ids is not null then
        update _howdah.job j set suspect = true, crashes = j.crashes + s.crashes
        from unnest(judged.suspect_ids, judged.suspect_leases, judged.suspect_crashes) s (id, lease, crashes) where j.id = s.id and j.lease = s.lease;
    end if;

    return (case when judged.failed_ids is null then '{}'
                 else _howdah.settle(judged.failed_ids, judged.failed_leases, 'F', judged.failed_results, judged.failed_errors) end)
        || (case when judged.cancelled_ids is null then '{}'
                 else _howdah.settle(judged.cancelled_ids, judged.cancelled_leases, 'C', null, judged.cancelled_errors) end)
        || (case when judged.retry_ids is null then '{}'
                 else _howdah.make_ready(judged.retry_ids, judged.retry_leases, judged.retry_at) end)
        || (case when judged.snoozed_ids is null then '{}'
                 else _howdah.make_ready(judged.snoozed_ids, judged.snoozed_leases, judged.snoozed_until, uncharge => true) end)
        || (case when judged.released_ids is null then '{}'
                 else _howdah.make_ready(judged.released_ids, judged.released_leases, front => true, uncharge => true) end)
        || (case when judged.lost_ids is null then '{}'
                 else _howdah.make_ready(judged.lost_ids, judged.lost_leases, front => true, uncharge => true, crashed => true) end);
end $$;
