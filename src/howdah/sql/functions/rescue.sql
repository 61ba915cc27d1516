-- Brings back the jobs of lost workers: the attempt is given back, a crash is counted, and after max_crashes the job fails.
-- A worker is lost when its heart has not beaten for lost_after (down-time of the database not counted; a beat in the future,
-- left by a clock that was set back, counts as now), or, sooner, when its session lock is gone and it has not beaten for 5 s.
-- Rows that somebody holds are stepped over, and taken in a later round.
create or replace function _howdah.rescue(n int) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment   timestamptz := _howdah.clock();
    pulse    record;
    rescued  int := 0;
    gone     uuid[];
    lost     uuid;
    held     uuid;
begin
    update _howdah.worker w set beat_at = moment where w.beat_at > moment;
    update _howdah.pulse p set resumed_at = least(p.resumed_at, moment), gap_ended_at = least(p.gap_ended_at, moment)
    where greatest(p.resumed_at, p.gap_ended_at) > moment;
    -- What the next beat will find out is true now: another session may be about to write it.
    select case when p.server_started_at <> pg_postmaster_start_time() then moment else p.resumed_at end as resumed_at,
           case when p.beat_at < moment - interval '3 s' then p.beat_at else p.gap_began_at end as gap_began_at,
           case when p.beat_at < moment - interval '3 s' then moment else p.gap_ended_at end as gap_ended_at
    into pulse from _howdah.pulse p;
    gone := array(
        select w.id from _howdah.worker w left join _howdah.connected c on c.id = w.id
        where greatest(w.beat_at, pulse.resumed_at, case when c.id is not null and w.beat_at > pulse.gap_began_at - w.lost_after / 3 then pulse.gap_ended_at end)
            + case when w.lock_key is not null and c.id is null then least(interval '5 s', w.lost_after) else w.lost_after end
            < moment
        order by w.id for update of w skip locked);
    gone := gone || array(  -- workers without a row, which nobody but an owner can have removed
        select distinct l.worker from _howdah.lease l
        where l.worker is not null and not exists (select from _howdah.worker w where w.id = l.worker));
    foreach lost in array gone
    loop
        for held in
            select l.lease from _howdah.lease l where l.worker = lost order by l.claimed_at for update skip locked
        loop
            exit when rescued >= rescue.n;
            rescued := rescued + _howdah.end_lease(held, 'lost');
        end loop;
        delete from _howdah.idle i where i.worker = lost;
        delete from _howdah.worker w where w.id = lost and not exists (select from _howdah.lease l where l.worker = lost);
    end loop;
    return rescued;
end $$;

-- Ends all attempts of one lease in one way, but for rows that somebody holds; the lease goes when none is left. How many.
create or replace function _howdah.end_lease(lease uuid, kind text) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    open   uuid[] := array(
        select j.id from _howdah.job j
        where j.id = any ((select l.ids from _howdah.lease l where l.lease = end_lease.lease)::uuid[]) and j.lease = end_lease.lease
        order by j.id for update skip locked);
    ended  int := cardinality(_howdah.end_attempts(
        open, array_fill(end_lease.lease, array[cardinality(open)]), array_fill(kind, array[cardinality(open)]),
        array_fill(kind, array[cardinality(open)]), null, null));
begin
    delete from _howdah.lease l where l.lease = end_lease.lease
        and not exists (select from unnest(l.ids) i (id) join _howdah.job j on j.id = i.id and j.lease = l.lease);
    return ended;
end $$;

-- Brings back at once the jobs of a worker that is known to be dead, as whoever started it does: those that ran count a crash,
-- and are suspects; what had not started is released uncharged, unless it may never be started twice and nobody can know. How many.
create or replace function howdah.rescue(worker uuid, running uuid[]) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    held   record;
    ended  int := 0;
begin
    -- Waits for a claim that is under way, and then sees its lease; whoever claims after us is refused.
    perform from _howdah.worker w where w.id = rescue.worker for update;
    delete from _howdah.idle i where i.worker = rescue.worker;
    for held in
        select l.lease, l.ids from _howdah.lease l where l.worker = rescue.worker order by l.claimed_at for update skip locked
    loop
        ended := ended + coalesce((
            select cardinality(_howdah.end_attempts(
                       array_agg(j.id), array_agg(j.lease), array_agg(j.kind),
                       array_agg(case j.kind when 'released' then 'released' else 'lost' end), null, null))
            from (select o.id, o.lease, case when o.id = any (rescue.running) then 'crashed' when o.delivery = 'm' then 'lost'
                                             else 'released' end as kind
                  from _howdah.job o where o.id = any (held.ids) and o.lease = held.lease order by o.id for update skip locked) j
            having count(*) > 0), 0);
        delete from _howdah.lease l where l.lease = held.lease
            and not exists (select from _howdah.job j where j.id = any (held.ids) and j.lease = held.lease);
    end loop;
    delete from _howdah.worker w where w.id = rescue.worker
        and not exists (select from _howdah.lease l where l.worker = rescue.worker);
    return ended;
end $$;
