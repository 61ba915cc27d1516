-- Enqueues one job in the caller's transaction and returns its id.
-- NULL means: what the task's declaration says, else the default. A conflict on unique_key returns the unfinished job's
-- id; an id chosen by the caller makes the call idempotent, whatever has become of its job.
-- What serial_key and the parameters after it mean is said in keys.sql.
-- after: jobs that have to end first; after_failed: what becomes of this one if one of them does not succeed: fail (default), skip or ignore.
-- wake => false is for prepared transactions, which may not notify.
create or replace function howdah.enqueue(
    task          text,
    args          jsonb       default '{}',
    queue         text        default null,
    priority      bigint      default null,
    run_at        timestamptz default null,
    delay         interval    default null,
    max_attempts  bigint      default null,
    timeout       interval    default null,
    delivery      text        default null,
    id            uuid        default null,
    unique_key    text        default null,
    headers       jsonb       default null,
    tags          text[]      default null,
    no_timeout    boolean     default false,
    wake          boolean     default true,
    serial_key    text        default null,
    collapse      text        default null,
    on_failure    text        default null,
    limit_keys    text[]      default null,
    unique_per    text        default null,
    unique_while  text        default null,
    unique_for    interval    default null,
    on_conflict   text        default null,
    earlier       boolean     default null,
    after         uuid[]      default null,
    after_failed  text        default null
) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    declared  record;
    moment    timestamptz;
    due       timestamptz;
    own       xid8;
    job_id    uuid;
    keys      jsonb;
    flaw      text;
begin
    own := pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    -- Most jobs are plain, and take the short road: each expression is set up anew in each transaction, so what is not needed costs.
    if length(task) between 1 and 120 and strpos(task, '*') = 0 and jsonb_typeof(args) = 'object' and pg_column_size(args) < 512
       and (queue is null or length(queue) between 1 and 120 and strpos(queue, '*') = 0)
       and num_nonnulls(id, priority, run_at, delay, max_attempts, timeout, delivery, headers, tags, serial_key, limit_keys,
                        collapse, on_failure, unique_per, unique_while, unique_for, on_conflict, earlier, after, after_failed) = 0
       and (unique_key is null or octet_length(unique_key) between 1 and 200)
       and not no_timeout and current_setting('synchronous_commit') <> 'off' then
        select t.queue, t.priority, t.max_attempts, t.timeout_ms, t.delivery, t.keys into declared
        from _howdah.task t where t.name = enqueue.task;
        if declared.keys is not null or _howdah.any_limits() and _howdah.is_limited(coalesce(queue, declared.queue, 'default'), task) then
            select p.id into job_id from _howdah.put_keyed(array[row(
                task, args, queue, null, null, null, null, null, null, null, null, unique_key, null, null)::howdah.new_job], null, enqueue.wake) p;
            return job_id;
        end if;
        if enqueue.unique_key is not null then
            insert into _howdah.job (seq, created_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args, unique_key)
            values (nextval('_howdah.seq'), _howdah.clock(), declared.timeout_ms, coalesce(declared.priority, 0), declared.max_attempts,
                    _howdah.new_id(), 'r', declared.delivery, coalesce(enqueue.queue, declared.queue, 'default'), enqueue.task,
                    enqueue.args, enqueue.unique_key)
            on conflict do nothing returning id into job_id;
            if job_id is null then  -- there is one, or was a moment ago
                select p.id into job_id from _howdah.put(array[row(
                    task, args, queue, null, null, null, null, null, null, null, null, unique_key, null, null)::howdah.new_job], enqueue.wake) p;
                return job_id;
            end if;
        else
            insert into _howdah.job (seq, created_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args)
            values (nextval('_howdah.seq'), _howdah.clock(), declared.timeout_ms, coalesce(declared.priority, 0), declared.max_attempts,
                    _howdah.new_id(), 'r', declared.delivery, coalesce(enqueue.queue, declared.queue, 'default'), enqueue.task,
                    enqueue.args)
            returning id into job_id;
        end if;
        if enqueue.wake and _howdah.anybody_idle() then
            perform _howdah.wake(coalesce(enqueue.queue, declared.queue, 'default'), enqueue.task, 1);
        end if;
        if enqueue.wake and _howdah.anybody_watching() then
            perform _howdah.tell_live(array[job_id]);
        end if;
        return job_id;
    end if;

    flaw := _howdah.flaw(task, args, queue, priority, run_at, delay, max_attempts, timeout, no_timeout, delivery, unique_key, headers,
                         tags);
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was enqueued. Correct this and enqueue again.');
    end if;
    keys := nullif(jsonb_strip_nulls(jsonb_build_object(
        'serial_key', serial_key, 'collapse', collapse, 'on_failure', on_failure, 'limit_keys', to_jsonb(limit_keys), 'unique_per', unique_per,
        'unique_while', unique_while, 'unique_for', unique_for, 'on_conflict', on_conflict, 'earlier', earlier,
        'after', (select jsonb_object_agg(a, coalesce(after_failed, 'fail')) from unnest(after) a where a is not null))), '{}');
    if keys is not null or _howdah.is_keyed(enqueue.task, enqueue.queue) then
        flaw := _howdah.keys_flaw(keys, enqueue.unique_key);
        if flaw is not null then
            perform _howdah.refuse('JQ001', flaw, 'Nothing was enqueued. Correct this and enqueue again.');
        end if;
        select p.id into job_id from _howdah.put_keyed(array[row(
            enqueue.task, enqueue.args, enqueue.queue, enqueue.priority, enqueue.run_at, enqueue.delay, enqueue.max_attempts::int,
            enqueue.timeout, enqueue.no_timeout, enqueue.delivery, enqueue.id, enqueue.unique_key, enqueue.headers,
            enqueue.tags)::howdah.new_job], array[keys], enqueue.wake) p;
        return job_id;
    end if;
    if enqueue.id is not null or enqueue.unique_key is not null then
        select p.id into job_id from _howdah.put(array[row(
            enqueue.task, enqueue.args, enqueue.queue, enqueue.priority, enqueue.run_at, enqueue.delay, enqueue.max_attempts::int,
            enqueue.timeout, enqueue.no_timeout, enqueue.delivery, enqueue.id, enqueue.unique_key, enqueue.headers,
            enqueue.tags)::howdah.new_job], enqueue.wake) p;
        return job_id;
    end if;

    moment := _howdah.clock();
    due := coalesce(enqueue.run_at, moment + enqueue.delay);
    insert into _howdah.job
        (seq, created_at, run_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args, headers, tags)
    select
        nextval('_howdah.seq'), moment, due,
        case when enqueue.no_timeout then 0 else coalesce(_howdah.to_ms(enqueue.timeout), t.timeout_ms) end,
        coalesce(enqueue.priority, t.priority, 0), coalesce(enqueue.max_attempts, t.max_attempts)::int,
        _howdah.new_id(), case when due > moment then 's' else 'r' end::"char",
        case when enqueue.delivery is null then t.delivery else _howdah.delivery_code(enqueue.delivery) end,
        coalesce(enqueue.queue, t.queue, 'default'), enqueue.task, coalesce(enqueue.args, '{}'), enqueue.headers, enqueue.tags
    from (select) one left join _howdah.task t on t.name = enqueue.task
    returning id, queue into job_id, queue;

    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable(array[enqueue.queue]);
    end if;
    if enqueue.wake and (due is null or due < moment + interval '1.5 s') and _howdah.anybody_idle() then
        perform _howdah.wake(enqueue.queue, enqueue.task, 1);
    end if;
    if enqueue.wake and _howdah.anybody_watching() then
        perform _howdah.tell_live(array[job_id]);
    end if;
    return job_id;
end $$;
