-- Ends many attempts in one round trip; answers with those it refused, and why. Arrays run in parallel.
-- outcomes: succeeded, retry, failed, cancelled, snoozed, released, crashed, hung. reasons is what howdah.attempts will say of one that did
-- not succeed (error, timeout, …). done: leases of which the caller holds no further job; NULL: it does not know.
-- Refused: 'lost' (wrong, old or expired token: nothing was changed), 'done' (this very finish was taken before: a repeated
-- one after a lost reply), 'busy' (somebody holds the row, its key's cursor, or the workflow that it adds to: send it again; only with skip_locked => true, otherwise the call
-- waits a second and fails with 55P03).
create or replace function howdah.finish(
    ids          uuid[],
    leases       uuid[],
    outcomes     text[]     default null,   -- NULL: all succeeded
    results      jsonb[]    default null,   -- of those that succeeded, or failed for good
    errors       text[]     default null,
    reasons      text[]     default null,
    retry_in     interval[] default null,
    retry_at     timestamptz[] default null,  -- instead of retry_in
    done         uuid[]     default null,
    skip_locked  boolean    default false,
    cursors      jsonb[]    default null,   -- of serial keys: what the attempt leaves for the next job; NULL: as it was
    steps        jsonb[]    default null    -- of those that succeeded: what they add to their workflows
) returns table (id uuid, reason text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    moved     uuid[];
    busy      uuid[];
    by_kind   record;
    moment    timestamptz := _howdah.clock();
    n         int := cardinality(ids);
begin
    -- Whatever holds a sub-select is run as a statement of its own, in each transaction: so such stands behind an if that holds none.
    if ids is null or leases is null or cardinality(leases) <> n or cardinality(outcomes) <> n or cardinality(results) <> n
       or cardinality(errors) <> n or cardinality(reasons) <> n or cardinality(retry_in) <> n or cardinality(retry_at) <> n
       or cardinality(cursors) <> n or cardinality(steps) <> n then
        perform _howdah.refuse('JQ001', 'the arrays differ in length', 'They run in parallel: one element for each id.');
    end if;
    if outcomes is not null or retry_in is not null or retry_at is not null then
        if exists (select from unnest(outcomes) o
                   where o is null or o not in ('succeeded', 'retry', 'failed', 'cancelled', 'snoozed', 'released', 'crashed', 'hung'))
           or exists (select from unnest(retry_in) r where r < interval '0' or r > interval '10 years')
           or exists (select from unnest(retry_at) r where r > now() + interval '10 years' or r = '-infinity') then
            perform _howdah.refuse('JQ001', 'an outcome or a time to come back is none',
                'An outcome is succeeded, retry, failed, cancelled, snoozed, released, crashed or hung; times lie within ten years.');
        end if;
    end if;
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable((select array_agg(distinct j.queue::text) from _howdah.job j where j.id = any (finish.ids)));
    end if;
    if cursors is not null then
        if exists (select from unnest(cursors) c where jsonb_typeof(c) <> 'object' or pg_column_size(c) > 1048576) then
            perform _howdah.refuse('JQ001', 'a cursor must be a JSON object of at most 1 MiB', 'Nothing was changed.');
        end if;
    end if;
    if skip_locked then
        busy := array(select j.id from _howdah.job j where j.id = any (finish.ids)
                      except select f.id from (select j.id from _howdah.job j where j.id = any (finish.ids)
                                               order by j.id for update skip locked) f);
        if cursors is not null then
            busy := busy || _howdah.held_cursors(ids, cursors);
        end if;
    end if;
    if steps is not null then  -- before these jobs end: what grows is held, and as far as others see it
        busy := busy || _howdah.held_flows(ids, steps, skip_locked);
    end if;

    if cursors is not null then
        perform _howdah.save_cursors(ids, leases, (select array_agg(case when u.id = any (busy) then null else u.cursor end order by u.place)
                                                  from unnest(ids, cursors) with ordinality u (id, cursor, place)));
    end if;
    if outcomes is null and busy is null and not exists (select from _howdah.cancel_request)
       and not exists (select from _howdah.job j where j.leased_until <= moment) then
        moved := _howdah.settle(ids, leases, 'S', results, errors, soon => true);
    else
        select array_agg(o.id) filter (where o.kind = 'succeeded') as good_ids,
               array_agg(o.lease) filter (where o.kind = 'succeeded') as good_leases,
               array_agg(o.result) filter (where o.kind = 'succeeded') as good_results,
               array_agg(o.error) filter (where o.kind = 'succeeded') as good_notes,
               array_agg(o.id) filter (where o.kind = 'unwanted') as unwanted_ids,
               array_agg(o.lease) filter (where o.kind = 'unwanted') as unwanted_leases,
               array_agg(o.result) filter (where o.kind = 'unwanted') as unwanted_results,
               array_agg(o.id) filter (where o.kind not in ('succeeded', 'unwanted')) as other_ids,
               array_agg(o.lease) filter (where o.kind not in ('succeeded', 'unwanted')) as other_leases,
               array_agg(o.kind) filter (where o.kind not in ('succeeded', 'unwanted')) as other_kinds,
               array_agg(o.reason) filter (where o.kind not in ('succeeded', 'unwanted')) as other_reasons,
               array_agg(o.error) filter (where o.kind not in ('succeeded', 'unwanted')) as other_errors,
               array_agg(o.retry_in) filter (where o.kind not in ('succeeded', 'unwanted')) as other_retry_in,
               array_agg(o.retry_at) filter (where o.kind not in ('succeeded', 'unwanted')) as other_retry_at,
               array_agg(o.result) filter (where o.kind not in ('succeeded', 'unwanted')) as other_results
        into by_kind
        from (
            select u.id, u.lease, u.result, u.error, u.retry_in, u.retry_at,
                   -- success that meets a request to cancel: the job ends cancelled, with its result
                   case when coalesce(u.kind, 'succeeded') = 'succeeded'
                             and exists (select from _howdah.cancel_request c where c.job_id = u.id and c.lease = u.lease) then 'unwanted'
                        else coalesce(u.kind, 'succeeded') end as kind,
                   coalesce(u.reason, _howdah.usual_reason(u.kind)) as reason
            from unnest(finish.ids, finish.leases, finish.outcomes, finish.results, finish.errors, finish.reasons,
                        finish.retry_in, finish.retry_at) u (id, lease, kind, result, error, reason, retry_in, retry_at)
            -- Without a worker the clock ends a lease, whether or not anyone has noticed yet. One look for each, in the order given, which is
            -- that of their new places: a join might change it.
            where (select true from _howdah.job j where j.id = u.id and j.lease = u.lease and j.leased_until <= moment limit 1) is null
              and u.id <> all (coalesce(busy, '{}'))
        ) o;
        moved := (case when by_kind.good_ids is null then '{}' else _howdah.settle(
                      by_kind.good_ids, by_kind.good_leases, 'S', by_kind.good_results, by_kind.good_notes, soon => true) end)
              || (case when by_kind.unwanted_ids is null then '{}' else _howdah.settle(
                      by_kind.unwanted_ids, by_kind.unwanted_leases, 'C', by_kind.unwanted_results) end)
              || (case when by_kind.other_ids is null then '{}' else _howdah.end_attempts(
                      by_kind.other_ids, by_kind.other_leases, by_kind.other_kinds, by_kind.other_reasons,
                      by_kind.other_errors, by_kind.other_retry_in, by_kind.other_retry_at, by_kind.other_results) end);
    end if;

    if steps is not null then
        perform _howdah.grow_from(u.id, u.steps)
        from unnest(finish.ids, finish.outcomes, finish.steps) u (id, kind, steps)
        where u.steps is not null and u.id = any (moved) and coalesce(u.kind, 'succeeded') = 'succeeded';
    end if;
    -- Leases of which no job is left. A caller that does not say leaves large ones to the chores: to look through them at each
    -- of their finishes would be quadratic. One that has ended whole, in this very call, need not be looked through.
    delete from _howdah.lease l
    where l.lease = any (coalesce(finish.done, finish.leases)) and (finish.done is not null or cardinality(l.ids) <= 50)
      and (cardinality(l.ids) = cardinality(moved) and l.lease = all (finish.leases)
           or not exists (select from _howdah.job j where j.id = any (l.ids) and j.lease = l.lease));
    if cardinality(moved) < cardinality(ids) then
        return query
        select o.id, case when o.id = any (busy) then 'busy'
                          when _howdah.was_finished(o.id, o.lease, coalesce(o.kind, 'succeeded'), o.reason) then 'done'
                          else 'lost' end
        from unnest(finish.ids, finish.leases, finish.outcomes, finish.reasons) o (id, lease, kind, reason)
        where o.id <> all (moved)
           -- the same job twice: what was moved was the one with the right lease
           or (not _howdah.was_finished(o.id, o.lease, coalesce(o.kind, 'succeeded'), o.reason)
               and (select count(*) from unnest(finish.ids) i (id) where i.id = o.id) > 1);
    end if;
end $$;

-- What howdah.attempts says of an attempt that ended so, unless it was given a reason.
create or replace function _howdah.usual_reason(kind text) returns text
language sql immutable parallel safe
return case when kind in ('retry', 'failed') then 'error' else kind end;

-- Whether this very finish was taken before. An attempt that others ended (its worker was lost, its lease ran out) is no
-- finish of the holder's.
create or replace function _howdah.was_finished(id uuid, lease uuid, kind text, reason text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select case when kind = 'succeeded' then
        exists (select from _howdah.finished f where f.id = was_finished.id and f.lease = was_finished.lease and (
            f.state = 'S' or (f.state = 'C' and not exists (
                select from _howdah.attempt a where a.job_id = f.id and a.lease = f.lease))))
    else
        exists (select from _howdah.attempt a where a.job_id = was_finished.id and a.lease = was_finished.lease
                  and a.outcome = coalesce(was_finished.reason, _howdah.usual_reason(was_finished.kind))
                  and a.outcome not in ('lost', 'expired'))
    end
$$;
