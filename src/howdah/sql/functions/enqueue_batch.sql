-- Enqueues up to 10,000 jobs of one task that share their options: the quick road for clients that make their own
-- version 7 ids. Such ids are new by construction; who wants idempotency uses enqueue or enqueue_many. Says how many are new (made), and where keys
-- led to other jobs, which the task declares perhaps, the ids of all in input order (led_to; NULL: those given).
create or replace function howdah.enqueue_alike(
    task          text,
    ids           uuid[],
    args          text[],
    queue         text        default null,
    priority      bigint      default null,
    run_at        timestamptz default null,
    delay         interval    default null,
    max_attempts  bigint      default null,
    timeout       interval    default null,
    delivery      text        default null,
    headers       jsonb       default null,
    tags          text[]      default null,
    no_timeout    boolean     default false,
    out led_to    uuid[],
    out made      int
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    declared  _howdah.task;
    moment    timestamptz := _howdah.clock();
    due       timestamptz := coalesce(enqueue_alike.run_at, moment + enqueue_alike.delay);
    own       xid8;
    parsed    jsonb[];
    bad       bigint;
    flaw      text;
begin
    select coalesce(array_agg(a.args), '{}'), min(a.place) filter (where _howdah.args_flaw(a.args) is not null) into parsed, bad
    from (select a::jsonb as args, place from unnest(enqueue_alike.args) with ordinality a (a, place) offset 0) a;
    flaw := _howdah.batch_flaw(task, ids, parsed, bad, queue, priority, run_at, delay, max_attempts, timeout, no_timeout, delivery, headers, tags);
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was enqueued. Correct this and enqueue again.');
    end if;
    select t.* into declared from _howdah.task t where t.name = enqueue_alike.task;
    if declared.keys is not null or _howdah.any_limits() and _howdah.is_limited(coalesce(enqueue_alike.queue, declared.queue, 'default'), enqueue_alike.task) then
        select array_agg(p.id order by p.ordinal), count(*) filter (where p.created) into led_to, made
        from _howdah.put_keyed(array(
            select row(enqueue_alike.task, n.args, enqueue_alike.queue, enqueue_alike.priority, enqueue_alike.run_at, enqueue_alike.delay,
                       enqueue_alike.max_attempts, enqueue_alike.timeout, enqueue_alike.no_timeout, enqueue_alike.delivery, n.id, null,
                       enqueue_alike.headers, enqueue_alike.tags)::howdah.new_job
            from unnest(enqueue_alike.ids, parsed) with ordinality n (id, args, place) order by n.place)) p;
        led_to := nullif(led_to, ids);
        return;
    end if;
    queue := coalesce(enqueue_alike.queue, declared.queue, 'default');
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable(array[enqueue_alike.queue]);
    end if;
    own := pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    insert into _howdah.job
        (seq, created_at, run_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args, headers, tags)
    select nextval('_howdah.seq'), moment, due,
           case when enqueue_alike.no_timeout then 0 else coalesce(_howdah.to_ms(enqueue_alike.timeout), declared.timeout_ms) end,
           coalesce(enqueue_alike.priority, declared.priority, 0), coalesce(enqueue_alike.max_attempts, declared.max_attempts)::int,
           n.id, case when due > moment then 's' else 'r' end::"char",
           case when enqueue_alike.delivery is null then declared.delivery else _howdah.delivery_code(enqueue_alike.delivery) end,
           enqueue_alike.queue, enqueue_alike.task, n.args, enqueue_alike.headers, enqueue_alike.tags
    from unnest(enqueue_alike.ids, parsed) n (id, args);

    if _howdah.anybody_watching() then
        perform _howdah.tell_live(ids);
    end if;
    if (due is null or due < moment + interval '1.5 s') and _howdah.anybody_idle() then
        perform _howdah.wake(enqueue_alike.queue, enqueue_alike.task, cardinality(ids));
    end if;
    made := cardinality(ids);
end $$;

-- The same, of which it only says how many are new.
create or replace function howdah.enqueue_batch(
    task          text,
    ids           uuid[],
    args          text[],
    queue         text        default null,
    priority      bigint      default null,
    run_at        timestamptz default null,
    delay         interval    default null,
    max_attempts  bigint      default null,
    timeout       interval    default null,
    delivery      text        default null,
    headers       jsonb       default null,
    tags          text[]      default null,
    no_timeout    boolean     default false
) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return a.made from howdah.enqueue_alike(
        enqueue_batch.task, enqueue_batch.ids, enqueue_batch.args, enqueue_batch.queue, enqueue_batch.priority, enqueue_batch.run_at,
        enqueue_batch.delay, enqueue_batch.max_attempts, enqueue_batch.timeout, enqueue_batch.delivery, enqueue_batch.headers,
        enqueue_batch.tags, enqueue_batch.no_timeout) a;
end $$;
