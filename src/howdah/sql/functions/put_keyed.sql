-- Stores jobs that were found without flaw, of which some have keys. keys says which, in parallel to jobs (see _howdah.keys_flaw); what it
-- leaves out the task's declaration says, and limits of the queue or the task come by themselves. Who names a unique key does not collapse:
-- a job has one key at most that it may have to wait for. Those are inserted in sorted order, so that batches that share some cannot
-- wait in a circle.
create or replace function _howdah.put_keyed(jobs howdah.new_job[], keys jsonb[] default null, wake boolean default true)
returns table (ordinal int, id uuid, created boolean)
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = auto
as $$
#variable_conflict use_column
declare
    moment   timestamptz := _howdah.clock();
    fresh    uuid[];
    new_one  record;
    made     uuid[] := '{}';
    again    int[] := '{}';  -- those whose id came before in the same call
    waiting  uuid[] := '{}';   -- those that wait for others, and
    parents  jsonb[] := '{}';  -- for whom
begin
    if cardinality(jobs) = 1 and jobs[1].id is null and not coalesce(keys[1] ? 'after', false) then
        ordinal := 1;
        select p.id, p.created into id, created from _howdah.put_alone(jobs[1], keys[1], put_keyed.wake) p;
        return next;
        return;
    end if;
    if cardinality(jobs) <= 20 then  -- a plan for few jobs is kept; one for many is made for how many they are
        perform set_config('plan_cache_mode', 'force_generic_plan', true);
    end if;
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable((select array_agg(distinct coalesce(j.queue, t.queue, 'default'))
                                 from unnest(jobs) j left join _howdah.task t on t.name = j.task));
    end if;
    perform pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    with given as (
        insert into _howdah.given_id (id, created_at)
        select distinct n.id, moment from unnest(jobs) n
        where n.id is not null
          and not exists (select from _howdah.job j where j.id = n.id) and not exists (select from _howdah.finished f where f.id = n.id)
        order by n.id
        on conflict do nothing returning id)
    select array_agg(g.id) into fresh from given g;

    for new_one in
        with input as materialized (
            select n.ordinal::int as ordinal, n.id as given, coalesce(n.id, _howdah.new_id()) as id,
                   coalesce(n.queue, t.queue, 'default') as queue, n.task, coalesce(n.args, '{}') as args,
                   coalesce(n.priority, t.priority, 0) as priority, coalesce(n.max_attempts, t.max_attempts) as max_attempts,
                   case when n.no_timeout then 0 else coalesce(_howdah.to_ms(n.timeout), t.timeout_ms) end as timeout_ms,
                   case when n.delivery is null then t.delivery else _howdah.delivery_code(n.delivery) end as delivery,
                   coalesce(n.run_at, moment + n.delay) as run_at, n.headers, n.tags, n.priority is not null as is_ranked,
                   _howdah.keys_of(n.task, coalesce(n.queue, t.queue, 'default'), coalesce(n.args, '{}'), n.unique_key,
                                   put_keyed.keys[n.ordinal], case when n.unique_key is null then t.keys else t.keys - 'collapse' end) as keys
            from unnest(jobs) with ordinality n (task, args, queue, priority, run_at, delay, max_attempts, timeout, no_timeout,
                                                 delivery, id, unique_key, headers, tags, ordinal)
            left join _howdah.task t on t.name = n.task
            order by n.ordinal
        ), drawn as materialized (  -- before anything sorts by something else than the order of the input
            select i.*, nextval('_howdah.seq') as seq from (select input.* from input order by input.ordinal) i
        ), simple as (  -- nothing of theirs can be there already
            insert into _howdah.job
                (seq, created_at, run_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args, headers, tags,
                 hooks, serial_key, limit_keys, on_failure, fair_key, waits_for)
            select d.seq, moment, d.run_at, d.timeout_ms, d.priority, d.max_attempts, d.id,
                   case when (d.keys).waits then 'w' when d.run_at > moment then 's' when (d.keys).hooks & 7 <> 0 then 'b' else 'r' end::"char", d.delivery, d.queue,
                   d.task, d.args, d.headers, d.tags, (d.keys).hooks, (d.keys).serial_key, (d.keys).limit_keys, (d.keys).on_failure,
                   (d.keys).fair_key,
                   case when coalesce(d.run_at <= moment, true) and (d.keys).serial_key is null and (d.keys).waits is null
                        then coalesce((d.keys).limit_keys[1], _howdah.fair_gate(d.queue, (d.keys).fair_key)) end
            from drawn d where d.given is null and coalesce((d.keys).unique_key, (d.keys).waiting_key, (d.keys).until_key) is null
            returning id
        )
        select d.*, d.given is null or row_number() over (partition by d.given order by d.ordinal) = 1 as is_first,
               simple.id is not null as is_stored
        from drawn d left join simple on simple.id = d.id
        order by (d.keys).unique_key collate "C" nulls first, (d.keys).waiting_key nulls first, (d.keys).until_key nulls first, d.seq
    loop
        ordinal := new_one.ordinal; id := new_one.given; created := false;
        if new_one.is_stored then
            id := new_one.id; created := true;
            made := made || id;
        elsif new_one.given is null or (new_one.is_first and new_one.given = any (fresh)) then
            select p.id, p.created into id, created from _howdah.put_one(new_one, new_one.keys, moment) p;
            if created then
                made := made || id;
            else
                delete from _howdah.given_id g where g.id = new_one.given;
            end if;
        elsif not new_one.is_first then
            again := again || ordinal;
            continue;
        end if;
        if created and put_keyed.keys[ordinal] ? 'after' then
            waiting := waiting || id;
            parents := parents || (put_keyed.keys[ordinal] -> 'after');
        end if;
        return next;
    end loop;
    foreach ordinal in array again loop  -- the same id once more: what became of the first one is known by now
        select p.id, p.created into id, created
        from _howdah.put_keyed(jobs[ordinal:ordinal], put_keyed.keys[ordinal:ordinal], put_keyed.wake) p;
        return next;
    end loop;
    if waiting <> '{}' then
        perform _howdah.wait_for(waiting, parents);
    end if;

    if made <> '{}' then
        perform _howdah.note('s', array(select distinct j.serial_key::text from _howdah.job j where j.id = any (made) and j.state = 'b' and j.serial_key is not null)),
                _howdah.note('l', array(select distinct j.waits_for::text from _howdah.job j where j.id = any (made) and j.waits_for is not null));
        if put_keyed.wake and _howdah.anybody_watching() then
            perform _howdah.tell_live(made);
        end if;
        if put_keyed.wake and _howdah.anybody_idle() then
            perform _howdah.wake(j.queue, j.task, j.n)
            from (select j.queue, j.task, count(*) as n from _howdah.job j
                  where j.id = any (made) and (j.state in ('r', 'b') or (j.state = 's' and j.run_at < moment + interval '1.5 s')) group by j.queue, j.task) j;
        end if;
    end if;
end $$;

-- The same for one job that waits for no other, and whose id is ours: the short road.
create or replace function _howdah.put_alone(one howdah.new_job, given jsonb, wake boolean, out id uuid, out created boolean)
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    moment   timestamptz := _howdah.clock();
    own      xid8 := pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    new_one  record;
    keys     _howdah.keys;
    gate     text;
begin
    select nextval('_howdah.seq') as seq, _howdah.new_id() as id, coalesce(one.queue, t.queue, 'default') as queue, one.task, coalesce(one.args, '{}') as args,
           coalesce(one.priority, t.priority, 0) as priority, coalesce(one.max_attempts, t.max_attempts) as max_attempts,
           case when one.no_timeout then 0 else coalesce(_howdah.to_ms(one.timeout), t.timeout_ms) end as timeout_ms,
           case when one.delivery is null then t.delivery else _howdah.delivery_code(one.delivery) end as delivery,
           coalesce(one.run_at, moment + one.delay) as run_at, one.headers, one.tags, one.priority is not null as is_ranked,
           case when one.unique_key is null then t.keys else t.keys - 'collapse' end as keys
    into new_one from (select) x left join _howdah.task t on t.name = one.task;
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable(array[new_one.queue]);
    end if;
    keys := _howdah.keys_of(new_one.task, new_one.queue, new_one.args, one.unique_key, put_alone.given, new_one.keys);
    select p.id, p.created into id, created from _howdah.put_one(new_one, keys, moment) p;
    if not created then
        return;
    end if;

    if keys.waits is null and coalesce(new_one.run_at <= moment, true) then
        if keys.serial_key is not null then
            perform _howdah.note('s', array[keys.serial_key]);
        else
            gate := coalesce(keys.limit_keys[1], _howdah.fair_gate(new_one.queue, keys.fair_key));
            if gate is not null then
                perform _howdah.note('l', array[gate]);
            end if;
        end if;
    end if;
    if put_alone.wake and _howdah.anybody_watching() then
        perform _howdah.tell_live(array[id]);
    end if;
    if put_alone.wake and _howdah.anybody_idle() and coalesce(new_one.run_at < moment + interval '1.5 s', true) then
        perform _howdah.wake(new_one.queue, new_one.task, 1);
    end if;
end $$;

-- Stores one job, or finds the one that has its key already and does with it what `keys` says of a conflict.
create or replace function _howdah.put_one(job record, keys _howdah.keys, moment timestamptz, out id uuid, out created boolean)
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    later   boolean := coalesce(job.run_at > moment, false);
    holder  uuid;    -- of the key, and
    state   "char";  -- how it stands; NULL: it has ended
begin
    for attempt in 1..20 loop
        holder := null;
        if keys.until_key is not null then
            insert into _howdah.unique_until as u (key, until, job_id) values (keys.until_key, moment + keys.unique_for, job.id)
            on conflict (key) do update set until = excluded.until, job_id = excluded.job_id where u.until <= moment;
            if not found then
                select u.job_id, j.state into holder, state
                from _howdah.unique_until u left join _howdah.job j on j.id = u.job_id where u.key = keys.until_key;
                continue when holder is null;  -- it was pruned in the meantime
            end if;
        end if;
        if holder is null then
            insert into _howdah.job
                (seq, created_at, run_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args, headers, tags,
                 unique_key, waiting_key, hooks, serial_key, limit_keys, on_failure, fair_key, waits_for)
            values (job.seq, moment, job.run_at, job.timeout_ms, job.priority, job.max_attempts, job.id,
                    case when keys.waits then 'w' when later then 's' when keys.hooks & 7 <> 0 then 'b' else 'r' end::"char", job.delivery, job.queue,
                    job.task, job.args, job.headers, job.tags, keys.unique_key, keys.waiting_key, keys.hooks, keys.serial_key,
                    keys.limit_keys, keys.on_failure, keys.fair_key,
                    case when not later and keys.serial_key is null and keys.waits is null then coalesce(keys.limit_keys[1], _howdah.fair_gate(job.queue, keys.fair_key)) end)
            on conflict do nothing;
            if found then
                id := job.id;
                created := true;
                return;
            end if;
            select j.id, j.state into holder, state from _howdah.job j where j.unique_key = keys.unique_key;
            if not found then
                select j.id, j.state into holder, state from _howdah.job j where j.waiting_key = keys.waiting_key;
            end if;
        end if;
        continue when holder is null;  -- it has ended, or started, in the meantime: the key is free
        if keys.on_conflict = 'raise' then
            perform _howdah.refuse('JQ003', format('job %s has this key already', holder), 'Nothing was enqueued. Wait for that job, or cancel it.');
        end if;
        id := holder;
        created := false;
        if state is null or state = 'x' or (coalesce(keys.on_conflict, 'existing') = 'existing' and not coalesce(keys.earlier, false))
           or _howdah.change_waiting(holder, job, keys, moment) then
            return;
        end if;
    end loop;
    raise exception using errcode = '40001', message = 'a key changed hands again and again, or this snapshot is too old to see who has it',
                          hint = 'Nothing was enqueued. Try again, best in READ COMMITTED.';
end $$;

-- Changes the job that waits under a key as a new one asks: other arguments and priority (replace), arguments put together (merge), an
-- earlier time. Other arguments may make other keys, by which it is in line from then on. False: it no longer waits.
create or replace function _howdah.change_waiting(id uuid, job record, keys _howdah.keys, moment timestamptz) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    old   record;
    due   timestamptz;
    moved boolean := false;
begin
    select j.args, j.priority, j.state, j.run_at, j.task, j.queue, j.serial_key, j.limit_keys, j.fair_key, j.on_failure, j.hooks
    into old from _howdah.job j where j.id = change_waiting.id and j.state <> 'x' for update;
    if not found then
        return false;
    end if;
    due := case when keys.earlier then least(coalesce(old.run_at, moment), coalesce(job.run_at, moment))
                when keys.on_conflict = 'replace' then coalesce(job.run_at, moment) else old.run_at end;
    update _howdah.job j
    set args = case keys.on_conflict when 'replace' then job.args when 'merge' then _howdah.merged(old.args, job.args) else j.args end,
        priority = case when keys.on_conflict = 'replace' and job.is_ranked then job.priority else j.priority end
    where j.id = change_waiting.id;
    if keys.on_conflict in ('replace', 'merge') then
        moved := _howdah.change_keys(change_waiting.id, old, job, keys);
    end if;
    if old.state = 'w' then  -- it waits for others: its time is looked at when they have ended
        update _howdah.job j set run_at = due where j.id = change_waiting.id;
    elsif moved or due is distinct from old.run_at and (old.state = 's' or due > moment)
       or (keys.on_conflict = 'replace' and job.is_ranked and job.priority <> old.priority) then
        perform _howdah.make_ready(array[change_waiting.id], null, array[due]);
    end if;
    return true;
end $$;

-- Gives a waiting job the keys that the new one has, or, if that is of another task or queue, those that its own task makes of the new
-- arguments; a serial key that the caller named holds where that makes none. Whoever is behind it under the old ones goes on. Whether
-- there were other keys before.
create or replace function _howdah.change_keys(id uuid, old record, job record, keys _howdah.keys) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    own  _howdah.keys;
begin
    if (job.task, job.queue) <> (old.task, old.queue) then
        own := _howdah.keys_of(old.task, old.queue, job.args, null, null, (select t.keys from _howdah.task t where t.name = old.task));
        own.serial_key := coalesce(own.serial_key, keys.serial_key);
        own.on_failure := coalesce(own.on_failure, keys.on_failure);
        keys := own;
    end if;
    if (keys.serial_key, keys.limit_keys, keys.fair_key) is not distinct from (old.serial_key, old.limit_keys, old.fair_key) then
        return false;
    end if;
    update _howdah.job j
    set serial_key = keys.serial_key, limit_keys = keys.limit_keys, fair_key = keys.fair_key, on_failure = keys.on_failure,
        hooks = nullif(coalesce(old.hooks, 0) & ~7 | case when keys.serial_key is null then 0 else 1 end
                       | case when keys.limit_keys is null then 0 else 2 end | case when keys.fair_key is null then 0 else 4 end, 0)
    where j.id = change_keys.id;
    perform _howdah.let_go(array[change_keys.id], case when old.serial_key is null then '{}' else array[old.serial_key::text] end, soon => false, wake => true);
    return true;
end $$;

-- Objects are merged name by name, lists put one behind the other; of anything else the newer counts.
create or replace function _howdah.merged(old jsonb, new jsonb) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when jsonb_typeof(old) = 'object' and jsonb_typeof(new) = 'object' then
            old || (select coalesce(jsonb_object_agg(n.key, case when old ? n.key then _howdah.merged(old -> n.key, n.value) else n.value end), '{}')
                    from jsonb_each(new) n)
        when jsonb_typeof(old) = 'array' and jsonb_typeof(new) = 'array' then old || new
        else new end;
end $$;
