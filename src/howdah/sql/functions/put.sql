-- Stores jobs that were found without flaw, in input order; the part that enqueue and enqueue_many share.
-- Ids and unique keys are inserted in sorted order, so that batches that share some cannot wait in a circle.
create or replace function _howdah.put(jobs howdah.new_job[], wake boolean default true)
returns table (ordinal int, id uuid, created boolean)
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    made    uuid[] := '{}';
    told    record;
begin
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable((select array_agg(distinct coalesce(j.queue, t.queue, 'default'))
                                 from unnest(jobs) j left join _howdah.task t on t.name = j.task));
    end if;
    perform pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    for told in
        with input as materialized (
            select n.ordinal::int as ordinal, n.id as given, coalesce(n.id, _howdah.new_id()) as id, n.unique_key,
                   coalesce(n.queue, t.queue, 'default') as queue, n.task, coalesce(n.args, '{}') as args,
                   coalesce(n.priority, t.priority, 0) as priority,
                   coalesce(n.max_attempts, t.max_attempts) as max_attempts,
                   case when n.no_timeout then 0 else coalesce(_howdah.to_ms(n.timeout), t.timeout_ms) end as timeout_ms,
                   case when n.delivery is null then t.delivery else _howdah.delivery_code(n.delivery) end as delivery,
                   coalesce(n.run_at, moment + n.delay) as run_at, n.headers, n.tags
            from unnest(jobs) with ordinality n (task, args, queue, priority, run_at, delay, max_attempts, timeout, no_timeout,
                                                 delivery, id, unique_key, headers, tags, ordinal)
            left join _howdah.task t on t.name = n.task
            order by n.ordinal
        ), drawn as materialized (  -- before anything sorts by something else than the order of the input
            select i.*, nextval('_howdah.seq') as seq from (select input.* from input order by input.ordinal) i
        ), numbered as materialized (
            select d.*, d.given is null or row_number() over (partition by d.given order by d.ordinal) = 1 as is_first from drawn d
        ), held as (  -- as it was before we wait for anybody: a holder that ends meanwhile is the answer all the same
            select j.unique_key, j.id from _howdah.job j where j.unique_key = any (array(select i.unique_key from input i))
        ), fresh as (
            insert into _howdah.given_id (id, created_at)
            select distinct i.given, moment from input i
            where i.given is not null
              and not exists (select from _howdah.job j where j.id = i.given)
              and not exists (select from _howdah.finished f where f.id = i.given)
            order by i.given
            on conflict do nothing returning id
        ), inserted as (
            insert into _howdah.job
                (seq, created_at, run_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args,
                 unique_key, headers, tags)
            select n.seq, moment, n.run_at, n.timeout_ms, n.priority, n.max_attempts, n.id,
                   case when n.run_at > moment then 's' else 'r' end::"char", n.delivery, n.queue, n.task, n.args,
                   n.unique_key, n.headers, n.tags
            from numbered n
            where n.is_first and (n.given is null or exists (select from fresh where fresh.id = n.given))
            order by n.unique_key collate "C" nulls first, n.seq
            on conflict do nothing returning id
        )
        select n.ordinal, n.id, n.given, n.unique_key, n.is_first, n.is_first and inserted.id is not null as created,
               exists (select from fresh where fresh.id = n.given) as is_fresh, held.id as holder
        from numbered n left join inserted on inserted.id = n.id left join held on held.unique_key = n.unique_key
        order by n.ordinal
    loop
        ordinal := told.ordinal; id := told.id; created := told.created;
        if told.created then
            made := made || told.id;
        elsif not told.is_first then  -- the same id once more: what became of the first one is known by now
            select p.id, p.created into id, created from _howdah.put(jobs[told.ordinal:told.ordinal], put.wake) p;
        elsif told.unique_key is not null and (told.given is null or told.is_fresh) then
            delete from _howdah.given_id g where g.id = told.given;
            id := coalesce((select j.id from _howdah.job j where j.unique_key = told.unique_key), told.holder);
            if id is null then  -- the holder of the key ended in the meantime: it is free again
                select p.id, p.created into id, created from _howdah.put(jobs[told.ordinal:told.ordinal], put.wake) p;
            end if;
        end if;
        return next;
    end loop;

    if put.wake and _howdah.anybody_watching() then
        perform _howdah.tell_live(made);
    end if;
    if put.wake and _howdah.anybody_idle() then
        perform _howdah.wake(j.queue, j.task, j.n)
        from (select j.queue, j.task, count(*) as n from _howdah.job j
              where j.id = any (made) and (j.state = 'r' or j.run_at < moment + interval '1.5 s') group by j.queue, j.task) j;
    end if;
end $$;
