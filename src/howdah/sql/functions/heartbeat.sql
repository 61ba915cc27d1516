-- Keeps a worker, and the leases of all its jobs, alive; registers it when a name is given and it is not there yet.
-- Answers what it is to do: go, drain or kill; which of its jobs are to be cancelled; when the next scheduled job is due.
-- 'swept' says that its jobs were given to others: drop everything and register under a new id.
-- leases, where given, are all the leases it holds: jobs of any other lease of its (a claim whose answer never arrived) are
-- released uncharged. Not to be sent while a claim is under way; one whose connection was lost may still be under way when the next claim
-- is not: stated numbers them, and after a greater number a smaller one releases nothing.
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
    leases      uuid[]   default null,
    floors      jsonb    default null,      -- below which its claims need not look, {"floors": …, "open": [transaction id, …]}
    stated      bigint   default null
) returns howdah.control
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    answer  howdah.control;
    known   record;
    due     timestamptz;
    sources text[];
    above   _howdah.floor[];
begin
    if heartbeat.worker is null or heartbeat.lost_after not between interval '1 s' and interval '10 years' or length(heartbeat.name) not between 1 and 200 then
        perform _howdah.refuse('JQ001', 'a heartbeat needs a worker id, a name of 1 to 200 characters, and lost_after between 1 s and ten years',
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
    perform _howdah.keep_mark(heartbeat.worker);
    if heartbeat.leases is not null then
        update _howdah.worker w set stated = coalesce(heartbeat.stated, w.stated)
        where w.id = heartbeat.worker and (heartbeat.stated is null or w.stated < heartbeat.stated);  -- waits for one that is under way
        if found then
            perform _howdah.release_leases(heartbeat.worker, heartbeat.leases);
        end if;
    end if;
    if exists (select from _howdah.cancel_request) then
        select array_agg(c.job_id) into answer.cancel
        from _howdah.cancel_request c join _howdah.job j on j.id = c.job_id and j.lease = c.lease
        join _howdah.lease l on l.lease = j.lease where l.worker = heartbeat.worker;
    end if;
    due := _howdah.next_due();
    if due < moment - interval '5 s' then  -- nobody does the chores: a bounded part of them
        perform _howdah.stage(1000), _howdah.rescue(1000), _howdah.expire(1000);
        due := _howdah.next_due();
    end if;
    answer.next_due_in := case when due < moment + interval '1 day' then greatest(due - moment, interval '0') end;
    answer.next_tick_in := _howdah.next_tick_in(moment);
    above := coalesce(_howdah.floors_of(heartbeat.floors), '{}');
    sources := _howdah.sources(coalesce(heartbeat.queues, known.queues, '{*}'), null, array(select f.queue from unnest(above) f));
    answer.work := _howdah.is_pending() or _howdah.heads(above, sources, 1) <> '{}'
        or exists (select from jsonb_array_elements_text(heartbeat.floors -> 'open') o
                   where pg_visible_in_snapshot(o::xid8, pg_current_snapshot()));  -- it ended: a floor is no longer true
    return answer;
end $$;
