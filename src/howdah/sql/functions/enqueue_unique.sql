-- Who has a unique key: as the calling statement saw it when it began, before it waited for anybody. A holder that ended meanwhile is the answer all
-- the same: to store a job after all would be to wait for its key behind greater ones, and perhaps in a circle.
create or replace function _howdah.holder_of(key text) returns uuid
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
as $$
begin
    return (select j.id from _howdah.job j where j.unique_key = holder_of.key);
end $$;

-- Enqueues up to 10,000 jobs of one task that share their options but for the unique key, which each has: the quick road for such.
-- Returns, in input order, the ids of the jobs: those given (made as for enqueue_batch), or of the unfinished ones that had the keys.
create or replace function howdah.enqueue_unique(
    task          text,
    ids           uuid[],
    args          text[],
    unique_keys   text[],
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
) returns uuid[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    declared  _howdah.task;
    moment    timestamptz := _howdah.clock();
    due       timestamptz := coalesce(enqueue_unique.run_at, moment + enqueue_unique.delay);
    own       xid8;
    parsed    jsonb[];
    bad       bigint;
    flaw      text;
    all_jobs  howdah.new_job[];
    made      uuid[];
    places    bigint[];  -- of those whose keys were taken
    led_to    uuid[];
begin
    select coalesce(array_agg(a.args), '{}'), min(a.place) filter (where _howdah.args_flaw(a.args) is not null) into parsed, bad
    from (select a::jsonb as args, place from unnest(enqueue_unique.args) with ordinality a (a, place) offset 0) a;
    flaw := _howdah.batch_flaw(task, ids, parsed, bad, queue, priority, run_at, delay, max_attempts, timeout, no_timeout, delivery, headers, tags);
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was enqueued. Correct this and enqueue again.');
    end if;
    if unique_keys is null or cardinality(unique_keys) is distinct from cardinality(ids) or array_position(unique_keys, null) is not null
       or exists (select from unnest(unique_keys) k where octet_length(k) not between 1 and 200) then
        perform _howdah.refuse('JQ001', 'a batch of unique jobs needs a key of 1 to 200 bytes for each', 'Nothing was enqueued. Correct this and enqueue again.');
    end if;

    select t.* into declared from _howdah.task t where t.name = enqueue_unique.task;
    if declared.keys is not null or _howdah.any_limits() and _howdah.is_limited(coalesce(enqueue_unique.queue, declared.queue, 'default'), enqueue_unique.task) then
        return array(select p.id from _howdah.put_keyed(array(
            select row(enqueue_unique.task, n.args, enqueue_unique.queue, enqueue_unique.priority, enqueue_unique.run_at, enqueue_unique.delay,
                       enqueue_unique.max_attempts, enqueue_unique.timeout, enqueue_unique.no_timeout, enqueue_unique.delivery, n.id, n.key,
                       enqueue_unique.headers, enqueue_unique.tags)::howdah.new_job
            from unnest(enqueue_unique.ids, parsed, enqueue_unique.unique_keys) with ordinality n (id, args, key, place) order by n.place)) p
            order by p.ordinal);
    end if;
    queue := coalesce(enqueue_unique.queue, declared.queue, 'default');
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable(array[enqueue_unique.queue]);
    end if;
    own := pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    with drawn as materialized (  -- before they are sorted by something else than the order of the input
        select n.id, n.args, n.key collate "C" as key, nextval('_howdah.seq') as seq
        from unnest(enqueue_unique.ids, parsed, enqueue_unique.unique_keys) n (id, args, key)
    ), inserted as (
        insert into _howdah.job
            (seq, created_at, run_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args, unique_key, headers, tags)
        select d.seq, moment, due,
               case when enqueue_unique.no_timeout then 0 else coalesce(_howdah.to_ms(enqueue_unique.timeout), declared.timeout_ms) end,
               coalesce(enqueue_unique.priority, declared.priority, 0), coalesce(enqueue_unique.max_attempts, declared.max_attempts)::int,
               d.id, case when due > moment then 's' else 'r' end::"char",
               case when enqueue_unique.delivery is null then declared.delivery else _howdah.delivery_code(enqueue_unique.delivery) end,
               enqueue_unique.queue, enqueue_unique.task, d.args, d.key, enqueue_unique.headers, enqueue_unique.tags
        from drawn d order by d.key, d.seq  -- batches that share some keys cannot wait in a circle
        on conflict (unique_key) where unique_key is not null do nothing returning id
    )
    select coalesce(array_agg(i.id), '{}'),
           case when count(*) < cardinality(ids) then (
               select array_agg(coalesce(case when i.id is null then _howdah.holder_of(d.key) end, d.id) order by d.seq)
               from drawn d left join inserted i on i.id = d.id) else ids end
    into made, led_to from inserted i;

    if cardinality(made) < cardinality(ids) then  -- of some whose keys were taken we do not know by whom: by this batch, or a moment ago
        select array_agg(n.place order by n.place),
               array_agg(row(enqueue_unique.task, n.args, enqueue_unique.queue, enqueue_unique.priority, enqueue_unique.run_at,
                             enqueue_unique.delay, enqueue_unique.max_attempts, enqueue_unique.timeout, enqueue_unique.no_timeout,
                             enqueue_unique.delivery, null, n.key, enqueue_unique.headers, enqueue_unique.tags)::howdah.new_job order by n.place)
        into places, all_jobs
        from unnest(enqueue_unique.ids, parsed, enqueue_unique.unique_keys) with ordinality n (id, args, key, place)
        left join unnest(made) m (id) on m.id = n.id where m.id is null and led_to[n.place] = n.id;
    end if;
    if places is not null then
        select array_agg(coalesce(p.id, n.id) order by n.place) into led_to
        from unnest(led_to) with ordinality n (id, place)
        left join _howdah.put(all_jobs) p on places[p.ordinal] = n.place;
    end if;
    if _howdah.anybody_watching() then
        perform _howdah.tell_live(made);
    end if;
    if made <> '{}' and (due is null or due < moment + interval '1.5 s') and _howdah.anybody_idle() then
        perform _howdah.wake(enqueue_unique.queue, enqueue_unique.task, cardinality(made));
    end if;
    return led_to;
end $$;
