-- Keeps a worker, and the leases of all its jobs, alive; registers it when a name is given and it is not there yet.
-- Answers what it is to do: go, drain or kill; which of its jobs are to be cancelled; when the next scheduled job is due.
-- 'swept' says that its jobs were given to others: drop everything and register under a new id.
-- leases, where given, are all the leases it holds: jobs of any other lease of its (a claim whose answer never arrived) are
-- released uncharged. Not to be sent while a claim is under way.
create or replace function howdah.heartbeat(
    worker      uuid,
    name        text     default null,
    host        text     default null,
    version     text     default null,
    tasks       text[]   default null,      -- names or prefix*; NULL: any
    queues      text[]   default null,
    slots       int      default null,
    pid         int      default null,
    lost_after  interval default null,      -- NULL: the store's setting
    lock_key    bigint   default null,      -- a session advisory lock that shows an early death
    leases      uuid[]   default null
) returns howdah.control
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    answer  howdah.control;
    known   record;
    due     timestamptz;
begin
    if heartbeat.worker is null or heartbeat.lost_after < interval '1 s' or length(heartbeat.name) not between 1 and 200 then
        perform _howdah.refuse('JQ001', 'a heartbeat needs a worker id, a name of 1 to 200 characters, and lost_after of 1 s or more',
                               'For example howdah.heartbeat(worker => gen_random_uuid(), name => ''mine'').');
    end if;
    select w.beat_at, w.lost_after, w.control, w.queues into known from _howdah.worker w where w.id = heartbeat.worker;
    if not found and heartbeat.name is null then
        answer.action := 'swept';
        return answer;
    elsif found then
        answer.action := known.control;
        -- It may be called often, to look around: the row is written fifteen times within lost_after.
        if heartbeat.name is not null or known.beat_at not between moment - known.lost_after / 15 and moment then
            update _howdah.worker w
            set beat_at = moment, tasks = coalesce(heartbeat.tasks, w.tasks), queues = coalesce(heartbeat.queues, w.queues),
                slots = coalesce(heartbeat.slots, w.slots), lock_key = coalesce(heartbeat.lock_key, w.lock_key)
            where w.id = heartbeat.worker;
            if not found then
                answer.action := 'swept';
                return answer;
            end if;
        end if;
    else
        insert into _howdah.worker (id, started_at, beat_at, lost_after, lock_key, pid, slots, name, host, version, queues, tasks)
        values (heartbeat.worker, moment, moment,
                coalesce(heartbeat.lost_after, (select s.lost_after from _howdah.setting s)), heartbeat.lock_key, heartbeat.pid,
                heartbeat.slots, heartbeat.name, heartbeat.host, heartbeat.version, coalesce(heartbeat.queues, '{*}'),
                heartbeat.tasks);
        answer.action := 'go';
    end if;

    perform _howdah.beat();
    if heartbeat.leases is not null then
        perform _howdah.release_leases(heartbeat.worker, heartbeat.leases);
    end if;
    if exists (select from _howdah.cancel_request) then
        select array_agg(c.job_id) into answer.cancel
        from _howdah.cancel_request c join _howdah.job j on j.id = c.job_id
        join _howdah.lease l on l.lease = j.lease where l.worker = heartbeat.worker;
    end if;
    due := _howdah.next_due();
    answer.next_due_in := case when due is not null then greatest(due - moment, interval '0') end;
    answer.work := coalesce(cardinality(_howdah.sources(coalesce(heartbeat.queues, known.queues, '{*}'))) > 0, false);
    return answer;
end $$;

-- A worker that goes: what it still holds is released uncharged, and its row is gone.
create or replace function howdah.leave(worker uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    delete from _howdah.idle i where i.worker = leave.worker;
    perform _howdah.release_leases(leave.worker, '{}');
    delete from _howdah.worker w where w.id = leave.worker
        and not exists (select from _howdah.lease l where l.worker = leave.worker);
    return found;
end $$;

-- Releases, uncharged, the jobs of this worker's leases that are not among the given ones.
create or replace function _howdah.release_leases(worker uuid, held uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    stray  record;
begin
    for stray in
        select l.lease, l.ids from _howdah.lease l
        where l.worker = release_leases.worker and l.lease <> all (held)
        order by l.claimed_at for update skip locked
    loop
        perform _howdah.end_attempts(stray.ids, array_fill(stray.lease, array[n]), array_fill('released'::text, array[n]),
                                     array_fill('released'::text, array[n]), null, null)
        from cardinality(stray.ids) n;
        delete from _howdah.lease l where l.lease = stray.lease;
    end loop;
end $$;

-- Down-time of the database does not count against leases. The pulse beats about once a second with whatever worker is there;
-- a gap is down-time when the server restarted or changed its timeline since the last beat.
create or replace function _howdah.beat() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    moment    timestamptz := _howdah.clock();
    history   text := left(pg_walfile_name(pg_current_wal_lsn()), 8);
begin
    update _howdah.pulse p
    set beat_at = moment, server_started_at = pg_postmaster_start_time(), timeline = history,
        resumed_at = case when p.server_started_at <> pg_postmaster_start_time() or p.timeline <> history
                          then moment else p.resumed_at end
    where p.only_row and (p.beat_at not between moment - interval '800 ms' and moment)
      and exists (select from _howdah.pulse s where s.only_row for update skip locked);
end $$;

create or replace function _howdah.next_due() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$ select j.run_at from _howdah.job j where j.state = 's' order by j.run_at limit 1 $$;

-- Tells workers to finish what they run and leave (drain), or to stop at once and hand back (kill): by id, name pattern, host
-- or version; at least one must be given. Returns how many were told. Workers that start later are not affected.
create or replace function howdah.drain(worker uuid default null, name text default null, host text default null,
                                        version text default null) returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.tell_workers('drain', $1, $2, $3, $4) $$;

create or replace function howdah.kill(worker uuid default null, name text default null, host text default null,
                                       version text default null) returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.tell_workers('kill', $1, $2, $3, $4) $$;

create or replace function _howdah.tell_workers(control text, worker uuid, name text, host text, version text) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    told  text[];
begin
    if num_nonnulls(tell_workers.worker, tell_workers.name, tell_workers.host, tell_workers.version) = 0 then
        perform _howdah.refuse('JQ001', 'no worker was named', 'Give an id, a name (or prefix*), a host or a version; name => ''*'' means all.');
    end if;
    with hit as (
        update _howdah.worker w set control = tell_workers.control
        where (tell_workers.worker is null or w.id = tell_workers.worker)
          and (tell_workers.name is null or w.name like any (_howdah.like_patterns(array[tell_workers.name])))
          and (tell_workers.host is null or w.host = tell_workers.host)
          and (tell_workers.version is null or w.version = tell_workers.version)
        returning left(w.id::text, 8) as short
    )
    select array_agg(hit.short) into told from hit;
    if told is not null then
        perform pg_notify(_howdah.channel(), 'c' || array_to_string(told[1:500], ','));
    end if;
    return coalesce(cardinality(told), 0);
end $$;
