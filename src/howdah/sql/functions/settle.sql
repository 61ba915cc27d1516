-- One of the two functions that move a job: from the live ones to its end, in history or, where the queue keeps none, gone.
-- Takes rows that wait (leases NULL) or run under the given lease, matched by id and lease and nothing else: a state beside
-- them would lead the planner to the wrong index whenever statistics were taken while nothing ran.
-- A lease without a worker must not have run out. Whoever waits for one of the jobs is told. Returns the ids it moved.
create or replace function _howdah.settle(
    ids      uuid[],
    leases   uuid[],
    state    "char",                        -- S, F or C
    results  jsonb[] default null,
    errors   text[]  default null,
    soon     boolean default false          -- who waits for a serial key of theirs goes on in this transaction, which is a short one
) returns uuid[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_indexscan = on set enable_hashjoin = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    keeps_none  text[];  -- queues without history
    held    record;  -- the leases, each once, in parallel arrays
    tokens  uuid[] := settle.leases[1:1];  -- each lease once
    rows    tid[];
    owners  uuid[];  -- their ids, and
    places  bigint[];  -- their places in what was given
    moved   uuid[] := '{}';
    n       bigint;
    urls    uuid[];  -- of jobs whose end is told on channels of their own
    keyed   uuid[] := '{}';  -- those with keys, or on which others hang; their
    hooks   int[] := '{}';   -- hooks and places in what was given, and
    spots   bigint[] := '{}';
    serial  text[] := '{}';  -- their serial keys, and
    hanging int := 0;        -- what hangs on any of them (see job.hooks)
    parted  record;
    others  record;  -- whether anybody wants to cancel, or waits for, any job
    told    text;
    ends    jsonb[];  -- of those that somebody listens to
    watched  record;
begin
    if settle.leases[1] <> any (settle.leases) or array_position(settle.leases, null) > 0 then
        tokens := array(select distinct l from unnest(settle.leases) l);
    end if;
    select array_agg(l.lease) as leases, array_agg(l.claimed_at) as claimed_at, array_agg(l.worker) as workers,
           array(select q.name from _howdah.queue q where not q.keep_history) as keeps_none,
           exists (select from _howdah.listener l where l.hears_jobs and not l.paused) as is_heard
    into held from _howdah.lease l where l.lease = any (settle.leases);
    keeps_none := held.keeps_none;
    if held.is_heard then
        ends := array(
            select _howdah.end_of(j, settle.state, o.result, o.error, held.claimed_at[array_position(held.leases, j.lease)])
            from unnest(settle.ids, settle.results, settle.errors) o (id, result, error) join _howdah.job j on j.id = o.id);
    end if;
    if _howdah.anybody_watching() then
        select array_agg(j.id) as ids, array_agg(j.queue::text) as queues into watched from _howdah.job j where j.id = any (settle.ids);
    end if;
    loop
        -- One descent of job_pkey for each, whatever the statistics say: a join with the table would be turned round, and walk over
        -- all of it, where a vacuum found nothing alive in a table that it could not shorten.
        select coalesce(array_agg(found.row), '{}'), array_agg(o.id), array_agg(o.place) into rows, owners, places
        from unnest(settle.ids, settle.leases) with ordinality o (id, lease, place)
        cross join lateral (
            select j.ctid as row from _howdah.job j
            where j.id = o.id and (j.lease = o.lease or (settle.leases is null and j.lease is null)) limit 1) found;
        exit when rows = '{}';
        with gone as (
            -- The lease once more: servers before 18.1, 17.7, 16.11, 15.15 and 14.20 follow a row that was changed meanwhile to its new version
            -- without a second look at its place.
            delete from _howdah.job j
            where j.ctid = any (rows) and (j.lease = any (tokens) or (settle.leases is null and j.lease is null))
            returning j.created_at, j.run_at, j.timeout_ms, j.priority, j.attempt, j.base_attempt, j.max_attempts, j.crashes, j.id,
                      j.lease, j.delivery, j.queue, j.task, j.args, j.unique_key, j.headers, j.tags, j.hooks, j.serial_key, j.limit_keys,
                      j.on_failure, j.cursor, j.fair_key, array_position(held.leases, j.lease) as nth
        ), kept as (
            insert into _howdah.finished
                (created_at, started_at, finished_at, run_at, timeout_ms, priority, attempt, base_attempt, max_attempts, crashes, id,
                 lease, worker, state, delivery, queue, task, args, result, error, unique_key, headers, tags, hooks, serial_key,
                 limit_keys, on_failure, cursor, fair_key)
            select g.created_at, held.claimed_at[g.nth], moment, g.run_at, g.timeout_ms, g.priority,
                   g.attempt, g.base_attempt, g.max_attempts, g.crashes, g.id, g.lease,
                   held.workers[g.nth], settle.state, g.delivery, g.queue, g.task, g.args,
                   settle.results[places[array_position(owners, g.id)]], settle.errors[places[array_position(owners, g.id)]],
                   g.unique_key, g.headers, g.tags, g.hooks, g.serial_key, g.limit_keys, g.on_failure, g.cursor,
                   g.fair_key
            from gone g
            where settle.state = 'F' or g.queue <> all (keeps_none) or g.hooks & 32 <> 0
        )
        select moved || every.ids as moved, every.n, special.* into parted
        from (select array_agg(g.id) as ids, count(*) as n from gone g) every
        cross join (
            select array_agg(g.id) filter (where g.hooks is not null) as keyed,
                   array_agg(g.hooks) filter (where g.hooks is not null) as hooks,
                   array_agg(places[array_position(owners, g.id)]) filter (where g.hooks is not null) as spots,
                   array_agg(distinct g.serial_key::text) filter (where g.serial_key is not null) as serial, bit_or(g.hooks) as hanging,
                   array_agg(g.id) filter (where g.task = 'http' and (g.args -> 'notify') is distinct from 'false') as urls
            from gone g where g.hooks is not null or g.task = 'http') special;
        moved := parted.moved; n := parted.n; keyed := keyed || parted.keyed; hooks := hooks || parted.hooks; spots := spots || parted.spots;
        serial := serial || parted.serial; hanging := hanging | coalesce(parted.hanging, 0); urls := urls || parted.urls;
        exit when n = cardinality(rows);  -- else somebody has changed one meanwhile: look again
    end loop;

    if keyed <> '{}' then
        if hanging & 16 <> 0 then
            perform _howdah.note('d', array(select settle.state::text || h.id from unnest(keyed, hooks) h (id, hooks) where h.hooks & 16 <> 0));
        end if;
        if hanging & 32 <> 0 then
            perform _howdah.end_members(array_agg(h.id), settle.state, array_agg(settle.results[h.spot]), array_agg(settle.errors[h.spot]))
            from unnest(keyed, hooks, spots) h (id, hooks, spot) where h.hooks & 32 <> 0;
        end if;
        perform _howdah.let_go(case when hanging & 2 <> 0 then keyed end, array(select distinct k from unnest(serial) k), settle.soon,
                               wake => settle.leases is null or array_position(held.workers, null) is not null);  -- a worker looks itself
    end if;
    if keeps_none <> '{}' then  -- what history does not keep: count from here
        update _howdah.given_id g set created_at = moment
        where g.id = any (moved) and not exists (select from _howdah.finished f where f.id = g.id);
        if settle.state = 'C' then  -- history tells of success by silence, and not of this
            perform _howdah.note_gone(array(select m from unnest(moved) m where not exists (select from _howdah.finished f where f.id = m)), 'C');
        end if;
    end if;
    select exists (select from _howdah.cancel_request) as to_cancel, exists (select from _howdah.waiter) as to_tell into others;
    if others.to_cancel then
        delete from _howdah.cancel_request c where c.job_id = any (moved);
    end if;
    if others.to_tell then
        with met as (delete from _howdah.waiter w where w.job_id = any (moved) returning w.job_id)
        select string_agg(distinct m.job_id::text, ',') into told from (select met.job_id from met limit 200) m;
        if told is not null then
            perform pg_notify(_howdah.channel(), 'f' || told);
        end if;
    end if;
    if _howdah.anybody_watching() and watched is not null then
        perform _howdah.tell_ends(watched.ids, watched.queues, moved, settle.state);
    end if;
    if ends <> '{}' then
        perform _howdah.emit_ends(ends, moved);
    end if;
    if urls <> '{}' then
        perform _howdah.http_ended(urls);
    end if;
    return moved;
end $$;
