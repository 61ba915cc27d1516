-- Leases up to `n` ready jobs: greatest priority first, then first come; across queues the one whose head comes first.
-- queues and tasks are names or patterns with a trailing `*`; NULL: all; except_queues are names that a pattern is not to
-- take. One fresh lease token per call.
-- With a worker (howdah.heartbeat made its row) a lease lasts as long as the worker's heart beats; without one, as long as
-- the job's own timeout, and the call does a bounded part of the chores, so that no Howdah worker need run.
-- suspects is how many jobs it may take that are to run alone (after a crash); NULL: as many as there are.
-- floors, {"floors": [[queue, priority, seq], …], "look": whether to look for other queues even if these hold enough}, say below
-- which seq this claimer (the same filter, each time) need not look, and make the last row the news that its
-- next floors follow from: lease is NULL, args is {"pending" (whether howdah.admit is to be called), "hi", "own", "snapshot", "history", "floors": [[queue, priority, next], …]};
-- howdah.worker.floors tells how. Such a claim must not be part of a larger transaction.
-- idle => true marks the worker as idle when nothing was found: claim once more before going to sleep.
create or replace function howdah.claim(
    queues         text[]  default null,
    n              int     default 1,
    worker         uuid    default null,
    tasks          text[]  default null,
    idle           boolean default false,
    except_queues  text[]  default null,
    suspects       int     default null,
    floors         jsonb   default null
) returns setof howdah.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- The shape is the plan: an ordered walk over job_claim that stops after n, whatever the statistics say.
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    -- In this order: how far seqs are given out, who is in flight, and only then what there is.
    hi       bigint := case when claim.floors is not null then coalesce(pg_sequence_last_value('_howdah.seq'::regclass), 0) end;
    flying   pg_snapshot := case when claim.floors is not null then pg_current_snapshot() end;
    above    _howdah.floor[] := coalesce(_howdah.floors_of(claim.floors), '{}');
    sources  text[];
    heads    _howdah.head[];
    most     int := claim.n;  -- priorities to look at: enough, if each gives a job
    picked   tid[];
    doubted  tid[];  -- those of them that are suspects
    late     tid[];  -- those of them that go back to wait for a limit or a rate
    is_full  boolean;
    given    text := chr(1) || array_to_string(claim.queues || claim.tasks, chr(1), '') || chr(1);
    known    text[];  -- queues with floors
    names    text[] := claim.tasks;
    likes    text[] := '{}';
    ranged   text[];
    looks    boolean := above = '{}' or coalesce((claim.floors ->> 'look')::boolean, true);  -- for queues without floors
    passed   text[];         -- those of them that hold nothing that is wanted, and
    unwanted _howdah.head[];  -- what they hold
    overdue  boolean := false;
    token    uuid;
    moment   timestamptz;
    own      xid8;
    last     howdah.claimed;
begin
    if claim.n is null or claim.n not between 1 and 10000 then
        perform _howdah.refuse('JQ001', format('cannot claim %s jobs', coalesce(claim.n::text, 'NULL')), 'Ask for 1 to 10000.');
    end if;
    if claim.suspects < 0 then
        perform _howdah.refuse('JQ001', format('cannot claim %s suspects', claim.suspects), 'Ask for 0 or more.');
    end if;
    -- Whatever holds a sub-select is run as a statement of its own, in each transaction: so such stands behind an if that holds none.
    if length(given) > 121 or strpos(given, chr(1) || chr(1)) > 0 or given ~ ('[*][^' || chr(1) || ']') then
        if exists (select from unnest(claim.queues || claim.tasks) p
                   where p is null or p = '' or length(p) > 121 or strpos(left(p, -1), '*') > 0) then
            perform _howdah.refuse('JQ001', 'a queue or task to claim from is no name and no pattern',
                                   'Write a name, or a prefix with one * behind it.');
        end if;
    end if;
    if strpos(array_to_string(claim.tasks, ''), '*') > 0 then
        names := array(select t from unnest(claim.tasks) t where t not like '%*');
        likes := _howdah.like_patterns(array(select t from unnest(claim.tasks) t where t like '%*'));
    end if;
    if strpos(given, '@') > 0 then
        ranged := _howdah.versions_of(claim.tasks);
    end if;
    if cardinality(above) = 1 then
        known := array[(above[1]).queue];
    elsif above <> '{}' then
        known := array(select distinct f.queue from unnest(above) f);
    end if;
    if claim.floors is not null
       and (pg_current_xact_id_if_assigned() is not null or current_setting('transaction_isolation') <> 'read committed') then
        perform _howdah.refuse('JQ001', 'a claim with floors is part of a transaction', 'Commit first, or claim without floors.');
    end if;
    if claim.worker is null then
        perform _howdah.beat();  -- before rescue: a gap in the beats may have been an outage
        perform _howdah.stage(1000), _howdah.expire(1000), _howdah.rescue(1000);
    end if;
    if claim.floors is null and _howdah.is_pending() then
        perform _howdah.admit_some(claim.n);
    end if;

    loop
        sources := _howdah.sources(claim.queues, claim.except_queues, known, looks);
        if passed is not null then
            sources := array(select s from unnest(sources) s where s <> all (passed));
        end if;
        heads := '{}'; picked := '{}'; doubted := null;
        if sources <> '{}' then
            heads := _howdah.heads(above, sources, most);
        end if;
        if heads <> '{}' then
            select coalesce(array_agg(h.row), '{}'), array_agg(h.row) filter (where h.suspect) into picked, doubted
            from (select job.row, job.suspect
                  from unnest(heads) head
                  cross join lateral (
                      select j.ctid as row, j.suspect from _howdah.job j
                      where j.state = 'r' and j.queue = head.queue and j.priority = head.priority
                        and j.seq >= head.seq and j.seq < head.before
                        and (claim.tasks is null or j.task = any (names) or j.task like any (likes)
                             or ranged is not null and strpos(j.task, '@') > 0 and _howdah.in_range(j.task, ranged))
                        and (claim.suspects is distinct from 0 or j.suspect is null)
                      order by j.seq
                      limit claim.n for update skip locked) job
                  limit claim.n) h;
        end if;
        -- A priority may hold only what is not wanted, or locked: then there may be more behind those looked at.
        if cardinality(picked) < claim.n and cardinality(heads) >= most then
            if exists (select from unnest(heads) h group by h.queue having count(*) >= most) then
                most := most * 10;
                continue;
            end if;
        end if;
        is_full := cardinality(picked) = claim.n;
        if cardinality(doubted) > claim.suspects then
            picked := array(select unnest(picked) except select unnest(doubted[claim.suspects + 1:]));
            exit when picked = '{}';
        end if;
        moment := _howdah.clock();
        if picked <> '{}' then
            exit when not _howdah.any_limits();
            late := _howdah.limit_late(picked);
            if late is not null then
                picked := array(select unnest(picked) except select unnest(late));
            end if;
            if exists (select from _howdah.limit l where l.rate is not null) then
                late := late || _howdah.not_yet(picked, moment);
                picked := array(select unnest(picked) except select unnest(late));
            end if;
            exit when picked <> '{}';
            continue;  -- all of them went back, and so are in nobody's way
        end if;
        if not looks then  -- known queues only, so far
            looks := true;
            passed := sources; unwanted := heads;
            continue;
        end if;
        -- Nothing to do, and nobody stages what is due: do it, and look once more.
        exit when overdue or not coalesce(_howdah.next_due() < _howdah.clock() - interval '1 s', false);
        perform _howdah.stage(1000);
        overdue := true;
        passed := null; unwanted := null;
    end loop;

    if picked <> '{}' then
        token := gen_random_uuid();
        if claim.worker is not null then
            perform from _howdah.worker w where w.id = claim.worker for key share;
            if not found then
                perform _howdah.refuse('JQ005', format('worker %s is unknown', claim.worker),
                                       'It was swept, or never registered: call howdah.heartbeat with a new id and a name.');
            end if;
            delete from _howdah.idle i where i.worker = claim.worker and i.mark > (select f.last_value from _howdah.idle_floor f);
        end if;
        -- A claim that must not be repeated has to survive a crash of the server.
        if current_setting('synchronous_commit') = 'off' then
            if exists (select from _howdah.job j where j.ctid = any (picked) and j.delivery = 'm') then
                perform set_config('synchronous_commit', 'on', true);
            end if;
        end if;
        return query
        with leased as (
            update _howdah.job j
            set state = 'x', lease = token, attempt = j.attempt + 1, waiting_key = null,
                cursor = case when j.serial_key is not null then coalesce((select s.cursor from _howdah.serial_key s where s.key = j.serial_key), '{}') end,
                leased_until = case when claim.worker is null then moment + _howdah.timeout_span(j.timeout_ms) end
            where j.ctid = any (picked)
            returning j.id, j.queue, j.task, j.args, j.priority, j.seq, j.attempt, j.base_attempt, j.max_attempts, j.timeout_ms,
                      j.delivery, j.leased_until, j.headers, j.tags, j.suspect, j.hooks, j.serial_key, j.cursor
        ), noted as (
            insert into _howdah.lease (lease, worker, claimed_at, ids)
            select token, claim.worker, moment, array_agg(l.id) from leased l
        )
        select l.id, token, l.queue::text, l.task::text, l.args, l.priority, l.attempt, coalesce(l.base_attempt, 0),
               coalesce(l.max_attempts, 4), case when l.timeout_ms is null then 60000 else nullif(l.timeout_ms, 0) end,
               _howdah.delivery_name(l.delivery), l.leased_until, l.headers, l.tags, l.suspect is true,
               l.hooks, l.serial_key::text, l.cursor
        from leased l order by l.priority desc, l.seq;
        if _howdah.anybody_watching() then
            perform _howdah.tell_live(l.ids) from _howdah.lease l where l.lease = token;
        end if;
        -- It got all it asked for, so there may be more than it can take: somebody else may sleep beside it.
        if is_full and _howdah.anybody_idle() then
            perform _howdah.wake(heads[1].queue, null, 1);
        end if;
    elsif claim.idle then
        perform _howdah.mark_idle(claim.worker, claim.queues, claim.tasks);
    else
        if claim.worker is not null and not _howdah.anybody_idle() then
            perform _howdah.keep_mark(claim.worker);
        end if;
        if exists (select from unnest(above) f where f.seq < hi - 4096) then
            perform pg_current_xact_id();  -- others take it all: worth one, not to walk over what they took each time
        end if;
    end if;

    if claim.floors is not null then
        own := pg_current_xact_id_if_assigned();
        last.args := jsonb_build_object(
            'pending', _howdah.is_pending(), 'hi', hi, 'own', own::text, 'snapshot', flying::text,
            'history', concat_ws(' ', left(pg_walfile_name(pg_current_wal_lsn()), 8), extract(epoch from pg_postmaster_start_time())),
            'floors', case when own is not null
                           then _howdah.left_behind(hi, passed || sources, above, unwanted || heads, case when claim.tasks is not null then names end, likes, ranged) end);
        return next last;
    end if;
end $$;

