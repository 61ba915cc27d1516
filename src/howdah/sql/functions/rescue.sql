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
