-- Brings back the jobs of lost workers: the attempt is given back, a crash is counted, and after max_crashes the job fails.
-- A worker is lost when its heart has not beaten for lost_after (down-time of the database not counted; a beat in the future
-- counts as now), or, sooner, when its session lock is gone and it has not beaten for 5 s.
create or replace function _howdah.rescue(n int) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment   timestamptz := _howdah.clock();
    resumed  timestamptz := (select p.resumed_at from _howdah.pulse p);
    rescued  int := 0;
    lost     record;
    held     record;
begin
    for lost in
        select w.id from _howdah.worker w
        where greatest(least(w.beat_at, moment), resumed) + w.lost_after < moment
           or (w.lock_key is not null and greatest(least(w.beat_at, moment), resumed) + least(interval '5 s', w.lost_after) < moment
               and not exists (select from pg_locks k
                               where k.locktype = 'advisory' and k.objsubid = 1
                                 and k.database = (select d.oid from pg_database d where d.datname = current_database())
                                 and (k.classid::bigint << 32 | k.objid::bigint) = w.lock_key))
        order by w.id for update of w skip locked
    loop
        for held in
            select l.lease, l.ids from _howdah.lease l where l.worker = lost.id order by l.claimed_at for update skip locked
        loop
            exit when rescued >= rescue.n;
            rescued := rescued + cardinality(_howdah.end_attempts(
                held.ids, array_fill(held.lease, array[cardinality(held.ids)]), array_fill('lost'::text, array[cardinality(held.ids)]),
                array_fill('lost'::text, array[cardinality(held.ids)]), null, null));
            delete from _howdah.lease l where l.lease = held.lease
                and not exists (select from unnest(l.ids) i (id) join _howdah.job j on j.id = i.id and j.lease = l.lease);
        end loop;
        delete from _howdah.idle i where i.worker = lost.id;
        delete from _howdah.worker w where w.id = lost.id and not exists (select from _howdah.lease l where l.worker = lost.id);
    end loop;
    return rescued;
end $$;

-- Ends the attempts of leases that ran out without a worker: failed attempts, with the task's backoff.
create or replace function _howdah.expire(n int) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    ended  record;
begin
    select array_agg(e.id) as ids, array_agg(e.lease) as leases, array_agg('retry'::text) as kinds,
           array_agg('expired'::text) as reasons, array_agg('the lease ran out'::text) as errors
    into ended
    from (select j.id, j.lease from _howdah.job j where j.leased_until <= _howdah.clock()
          order by j.id limit expire.n for update skip locked) e;
    return case when ended.ids is null then 0
                else cardinality(_howdah.end_attempts(ended.ids, ended.leases, ended.kinds, ended.reasons, ended.errors, null)) end;
end $$;

-- Fails ready jobs older than unknown_task_age whose task no live worker of their queue serves. Looks only at the head of
-- each queue, where such jobs gather, and only where somebody does serve the queue.
create or replace function _howdah.fail_unknown(n int) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    old  record;
begin
    select array_agg(h.id) as ids, array_agg(format('no worker knows the task %s', h.task)) as errors into old
    from unnest(_howdah.sources(null)) source (queue)
    cross join lateral (
        select j.id, j.task, j.created_at from _howdah.job j where j.state = 'r' and j.queue = source.queue
        order by j.priority desc, j.seq limit n) h
    where h.created_at < _howdah.clock() - (select s.unknown_task_age from _howdah.setting s)
      and exists (select from _howdah.worker w where source.queue like any (_howdah.like_patterns(w.queues)))
      and not exists (select from _howdah.worker w where source.queue like any (_howdah.like_patterns(w.queues))
                        and (w.tasks is null or h.task like any (_howdah.like_patterns(w.tasks))));
    return case when old.ids is null then 0 else cardinality(_howdah.settle(old.ids, null, 'F', null, old.errors)) end;
end $$;
