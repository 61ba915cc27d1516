-- One of the two functions that move a job: back to waiting, ready when due and scheduled when not.
-- Takes rows that wait (leases NULL) or run under the given lease. seq is drawn anew, in input order; front goes before
-- all others of its priority and keeps the old order. uncharge gives the attempt back, crashed counts a crash.
-- A job with keys becomes blocked instead, until it is let in (_howdah.admit, which says admitted), and gives up its places meanwhile.
-- Returns the ids that it moved.
-- Bitmaps only: they need a condition for the index. Where a vacuum found nothing alive in a table that it could not shorten, a join
-- would be turned round otherwise, and walk over all of job_pkey.
create or replace function _howdah.make_ready(
    ids       uuid[],
    leases    uuid[]        default null,
    run_at    timestamptz[] default null,   -- per job; NULL: now
    front     boolean       default false,
    uncharge  boolean       default false,
    crashed   boolean       default false,
    admitted  boolean       default false    -- blocked ones whose keys let them in
) returns uuid[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off set enable_bitmapscan = on
set enable_hashjoin = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    moved   uuid[];
    ready   text[];
    tasks   text[];
    keyed   uuid[];  -- with keys
begin
    perform pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    with wanted as materialized (
        select w.id, w.lease, w.run_at, case when not front then nextval('_howdah.seq') end as seq
        from (select u.id, u.lease, u.run_at
              from unnest(make_ready.ids, make_ready.leases, make_ready.run_at) with ordinality u (id, lease, run_at, ordinal)
              where u.id is not null order by u.ordinal) w
    ), moving as (
        update _howdah.job j
        set state = case when w.run_at > moment then 's' when j.hooks & 7 <> 0 and not admitted then 'b' else 'r' end,
            run_at = coalesce(w.run_at, j.run_at),
            seq = case when w.seq is not null then w.seq when j.seq < 0 then j.seq else j.seq - 4611686018427387904 end,
            attempt = j.attempt - uncharge::int,
            crashes = j.crashes + crashed::int,
            lease = null, leased_until = null,
            waits_for = case when j.hooks & 7 <> 0 and not admitted and j.serial_key is null and not coalesce(w.run_at > moment, false) then coalesce(j.limit_keys[1], _howdah.fair_gate(j.queue, j.fair_key)) end
        from wanted w
        where j.id = w.id and (j.lease = w.lease or (make_ready.leases is null and j.lease is null))
        returning j.id, j.queue, j.task, j.state, j.hooks
    )
    select array_agg(m.id), array_agg(m.queue::text) filter (where m.state = 'r'), array_agg(m.task::text) filter (where m.state = 'r'),
           array_agg(m.id) filter (where m.hooks & 7 <> 0)
    into moved, ready, tasks, keyed from moving m;
    if keyed is not null and not admitted then
        perform _howdah.back_to_keys(keyed);
    end if;

    if ready is not null and _howdah.anybody_idle() then
        perform _howdah.wake(q.queue, q.task, q.n)
        from (select r.queue, r.task, count(*) as n from unnest(ready, tasks) r (queue, task) group by r.queue, r.task) q;
    end if;
    if _howdah.anybody_watching() then
        perform _howdah.tell_live(moved);
    end if;
    return coalesce(moved, '{}');
end $$;
