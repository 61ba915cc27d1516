-- Leases up to `n` ready jobs: greatest priority first, then first come; across queues the one whose head comes first.
-- queues and tasks are names or patterns with a trailing `*`; NULL: all; except_queues are names that a pattern is not to
-- take. One fresh lease token per call.
-- With a worker (howdah.heartbeat made its row) a lease lasts as long as the worker's heart beats; without one, as long as
-- the job's own timeout, and the call does a bounded part of the chores, so that no Howdah worker need run.
-- suspects is how many jobs it may take that are to run alone (after a crash); NULL: as many as there are.
-- idle => true marks the worker as idle when nothing was found: claim once more before going to sleep.
create or replace function howdah.claim(
    queues         text[]  default null,
    n              int     default 1,
    worker         uuid    default null,
    tasks          text[]  default null,
    idle           boolean default false,
    except_queues  text[]  default null,
    suspects       int     default null
) returns setof howdah.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- The shape is the plan: an ordered walk over job_claim that stops after n, whatever the statistics say.
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
#variable_conflict use_column
declare
    picked   tid[];
    doubted  tid[];  -- those of them that are suspects
    is_full  boolean;
    sources  text[];
    names    text[] := array(select t from unnest(claim.tasks) t where t not like '%*');
    likes    text[] := _howdah.like_patterns(array(select t from unnest(claim.tasks) t where t like '%*'));
    overdue  boolean := false;
    token    uuid;
    moment   timestamptz;
begin
    if claim.n is null or claim.n not between 1 and 10000 then
        perform _howdah.refuse('JQ001', format('cannot claim %s jobs', coalesce(claim.n::text, 'NULL')), 'Ask for 1 to 10000.');
    end if;
    if claim.suspects < 0 then
        perform _howdah.refuse('JQ001', format('cannot claim %s suspects', claim.suspects), 'Ask for 0 or more.');
    end if;
    if exists (select from unnest(claim.queues || claim.tasks) p
               where p is null or p = '' or length(p) > 121 or strpos(left(p, -1), '*') > 0) then
        perform _howdah.refuse('JQ001', 'a queue or task to claim from is no name and no pattern',
                               'Write a name, or a prefix with one * behind it.');
    end if;
    if claim.worker is null then
        perform _howdah.beat();  -- before rescue: a gap in the beats may have been an outage
        perform _howdah.stage(1000), _howdah.expire(1000), _howdah.rescue(1000);
    end if;

    loop
        sources := _howdah.sources(claim.queues, claim.except_queues);
        select coalesce(array_agg(h.row), '{}'), array_agg(h.row) filter (where h.suspect) into picked, doubted
        from (select head.row, head.suspect
              from unnest(sources) with ordinality source (queue, place)
              cross join lateral (
                  select j.ctid as row, j.suspect from _howdah.job j
                  where j.state = 'r' and j.queue = source.queue
                    and (claim.tasks is null or j.task = any (names) or j.task like any (likes))
                    and (claim.suspects is distinct from 0 or j.suspect is null)
                  order by j.priority desc, j.seq
                  limit claim.n for update skip locked) head
              limit claim.n) h;
        -- Nothing to do, and nobody stages what is due: do it, and look once more.
        exit when picked <> '{}' or overdue or not coalesce(_howdah.next_due() < _howdah.clock() - interval '1 s', false);
        perform _howdah.stage(1000);
        overdue := true;
    end loop;
    is_full := cardinality(picked) = claim.n;
    if cardinality(doubted) > claim.suspects then
        picked := array(select unnest(picked) except select unnest(doubted[claim.suspects + 1:]));
    end if;

    if picked = '{}' then  -- without having taken a transaction id
        if claim.idle then
            insert into _howdah.idle as marked (worker, queues, tasks)
            select w.id, coalesce(claim.queues, '{*}'), claim.tasks from _howdah.worker w where w.id = claim.worker
            on conflict (worker) do update
            set queues = marked.queues || excluded.queues,
                tasks = case when excluded.tasks is not null then marked.tasks || excluded.tasks end
            where not marked.queues @> excluded.queues
               or not coalesce(marked.tasks @> excluded.tasks, marked.tasks is null);
        end if;
        return;
    end if;

    if claim.worker is not null then
        perform from _howdah.worker w where w.id = claim.worker for key share;
        if not found then
            perform _howdah.refuse('JQ005', format('worker %s is unknown', claim.worker),
                                   'It was swept, or never registered: call howdah.heartbeat with a new id and a name.');
        end if;
        delete from _howdah.idle i where i.worker = claim.worker;
    end if;

    -- A claim that must not be repeated has to survive a crash of the server.
    if current_setting('synchronous_commit') = 'off'
       and exists (select from _howdah.job j where j.ctid = any (picked) and j.delivery = 'm') then
        perform set_config('synchronous_commit', 'on', true);
    end if;

    token := gen_random_uuid();
    moment := _howdah.clock();
    return query
    with leased as (
        update _howdah.job j
        set state = 'x', lease = token, attempt = j.attempt + 1,
            leased_until = case when claim.worker is null then moment + _howdah.timeout_span(j.timeout_ms) end
        where j.ctid = any (picked)
        returning j.id, j.queue, j.task, j.args, j.priority, j.seq, j.attempt, j.base_attempt, j.max_attempts, j.timeout_ms,
                  j.delivery, j.leased_until, j.headers, j.tags, j.suspect
    ), noted as (
        insert into _howdah.lease (lease, worker, claimed_at, ids)
        select token, claim.worker, moment, array_agg(l.id) from leased l
    )
    select l.id, token, l.queue::text, l.task::text, l.args, l.priority, l.attempt, coalesce(l.base_attempt, 0),
           coalesce(l.max_attempts, 4), case when l.timeout_ms is null then 60000 else nullif(l.timeout_ms, 0) end,
           _howdah.delivery_name(l.delivery), l.leased_until, l.headers, l.tags, l.suspect is true
    from leased l order by l.priority desc, l.seq;

    -- It got all it asked for, so there may be more than it can take: somebody else may sleep beside it.
    if is_full and exists (select from _howdah.idle) then
        perform _howdah.wake(sources[1], null, 1);
    end if;
end $$;
