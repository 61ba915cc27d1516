-- Enqueues one job in the caller's transaction and returns its id.
-- NULL means: what the task's declaration says, else the default. A conflict on unique_key returns the unfinished job's
-- id; an id chosen by the caller makes the call idempotent, whatever has become of its job.
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
    wake          boolean     default true
) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    declared  _howdah.task;
    moment    timestamptz := _howdah.clock();
    due       timestamptz := coalesce(enqueue.run_at, moment + enqueue.delay);
    job_id    uuid;
    flaw      text := _howdah.flaw(enqueue.task, enqueue.args, enqueue.queue, enqueue.priority, enqueue.run_at, enqueue.delay,
                                   enqueue.max_attempts, enqueue.timeout, enqueue.no_timeout, enqueue.delivery,
                                   enqueue.unique_key, enqueue.headers, enqueue.tags);
begin
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was enqueued. Correct this and enqueue again.');
    end if;
    if enqueue.id is not null or enqueue.unique_key is not null then
        select p.id into job_id from _howdah.put(array[row(
            enqueue.task, enqueue.args, enqueue.queue, enqueue.priority, enqueue.run_at, enqueue.delay, enqueue.max_attempts::int,
            enqueue.timeout, enqueue.no_timeout, enqueue.delivery, enqueue.id, enqueue.unique_key, enqueue.headers,
            enqueue.tags)::howdah.new_job], enqueue.wake) p;
        return job_id;
    end if;

    select t.* into declared from _howdah.task t where t.name = enqueue.task;
    queue := coalesce(enqueue.queue, declared.queue, 'default');
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable(array[enqueue.queue]);
    end if;
    perform pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    insert into _howdah.job
        (seq, created_at, run_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args, headers, tags)
    values
        (nextval('_howdah.seq'), moment, due,
         case when enqueue.no_timeout then 0 else coalesce(_howdah.to_ms(enqueue.timeout), declared.timeout_ms) end,
         coalesce(enqueue.priority, declared.priority, 0), coalesce(enqueue.max_attempts, declared.max_attempts)::int,
         _howdah.new_id(), case when due > moment then 's' else 'r' end,
         case when enqueue.delivery is null then declared.delivery else _howdah.delivery_code(enqueue.delivery) end,
         enqueue.queue, enqueue.task, coalesce(enqueue.args, '{}'), enqueue.headers, enqueue.tags)
    returning id into job_id;

    if enqueue.wake and (due is null or due < moment + interval '1.5 s') and exists (select from _howdah.idle) then
        perform _howdah.wake(enqueue.queue, enqueue.task, 1);
    end if;
    return job_id;
end $$;
