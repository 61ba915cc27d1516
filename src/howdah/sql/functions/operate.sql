-- What people do to one job or one queue. Each returns whether it did anything.

-- A waiting job is cancelled at once; the worker of a running one is asked to stop it, and it ends cancelled, even if it
-- finishes at the same instant.
create or replace function howdah.cancel(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    job     record;
begin
    loop
        if cardinality(_howdah.settle(array[cancel.id], null, 'C', null, array['cancelled before it ran'])) = 1 then
            return true;
        end if;
        select j.state, l.worker into job from _howdah.job j left join _howdah.lease l on l.lease = j.lease
        where j.id = cancel.id;
        if not found then
            return false;
        end if;
        exit when job.state = 'x';  -- else it came back to waiting between the two looks
    end loop;
    insert into _howdah.cancel_request (job_id, requested_at) values (cancel.id, _howdah.clock()) on conflict do nothing;
    if found and job.worker is not null then
        perform pg_notify(_howdah.channel(), 'c' || left(job.worker::text, 8));
    end if;
    return found;
end $$;

-- Brings a finished job back as the same id. It goes on counting attempts, with as much room for them as it had at first.
create or replace function howdah.retry(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    job  record;
begin
    if exists (select from _howdah.finished f join _howdah.job j on j.unique_key = f.unique_key where f.id = retry.id) then
        perform _howdah.refuse('JQ003', format('job %s cannot come back: another unfinished job has its unique key', retry.id),
                               'Wait for that job, or cancel it, and retry again.');
    end if;
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable((select array_agg(f.queue::text) from _howdah.finished f where f.id = retry.id));
    end if;
    perform pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    with gone as (
        delete from _howdah.finished f where f.id = retry.id
        returning f.created_at, f.timeout_ms, f.priority, f.attempt, f.base_attempt, f.max_attempts, f.id, f.delivery, f.queue,
                  f.task, f.args, f.unique_key, f.headers, f.tags
    )
    insert into _howdah.job
        (seq, created_at, timeout_ms, priority, attempt, base_attempt, max_attempts, id, state, delivery, queue, task, args,
         unique_key, headers, tags)
    select nextval('_howdah.seq'), g.created_at, g.timeout_ms, g.priority, g.attempt, g.attempt,
           g.attempt + coalesce(g.max_attempts, 4) - coalesce(g.base_attempt, 0), g.id, 'r', g.delivery, g.queue, g.task, g.args,
           g.unique_key, g.headers, g.tags
    from gone g
    returning id, queue into job;
    if found and exists (select from _howdah.idle) then
        perform _howdah.wake(job.queue, 1);
    end if;
    return job.id is not null;
end $$;

-- A scheduled job becomes ready now.
create or replace function howdah.run_now(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return exists (select from _howdah.job j where j.id = run_now.id and j.state = 's')
       and cardinality(_howdah.make_ready(array[run_now.id], null, array[_howdah.clock()])) = 1;
end $$;

-- Removes a job that does not run, and what history has of it. A running one is refused: cancel it first.
create or replace function howdah.delete(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    gone  boolean := cardinality(_howdah.settle(array[delete.id], null, 'C')) = 1;
begin
    if exists (select from _howdah.job j where j.id = delete.id) then
        return false;
    end if;
    delete from _howdah.finished f where f.id = delete.id;
    gone := gone or found;
    delete from _howdah.attempt a where a.job_id = delete.id;
    return gone;
end $$;

-- A paused queue is not claimed from; enqueue goes on.
create or replace function howdah.pause(queue text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.set_paused(pause.queue, true) $$;

create or replace function howdah.resume(queue text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.set_paused(resume.queue, false) $$;

create or replace function _howdah.set_paused(queue text, paused boolean) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if set_paused.queue is null or length(set_paused.queue) not between 1 and 120 or strpos(set_paused.queue, '*') > 0 then
        perform _howdah.refuse('JQ001', 'a queue name has 1 to 120 characters and no *', 'Name one queue.');
    end if;
    insert into _howdah.queue as q (name, paused, created_at) values (set_paused.queue, set_paused.paused, _howdah.clock())
    on conflict (name) do update set paused = excluded.paused where q.paused <> excluded.paused;
    if found and not set_paused.paused then
        perform _howdah.wake(set_paused.queue, 100);
    end if;
    return found;
end $$;

-- What a queue keeps: keep_history => false deletes its jobs when they are done; durable => false leaves
-- synchronous_commit as the caller has it. NULL leaves a setting as it is.
create or replace function howdah.put_queue(queue text, keep_history boolean default null, durable boolean default null)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform _howdah.set_paused(put_queue.queue, coalesce(
        (select q.paused from _howdah.queue q where q.name = put_queue.queue), false));
    update _howdah.queue q
    set keep_history = coalesce(put_queue.keep_history, q.keep_history), durable = coalesce(put_queue.durable, q.durable)
    where q.name = put_queue.queue;
end $$;

-- Changes settings of the store; NULL leaves one as it is. Returns them all.
create or replace function howdah.put_settings(
    lost_after        interval default null,
    max_crashes       int      default null,
    retention         interval default null,
    failed_retention  interval default null,
    unknown_task_age  interval default null
) returns table (lost_after interval, max_crashes int, retention interval, failed_retention interval, unknown_task_age interval)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update _howdah.setting s
    set lost_after = coalesce($1, s.lost_after), max_crashes = coalesce($2, s.max_crashes),
        retention = coalesce($3, s.retention), failed_retention = coalesce($4, s.failed_retention),
        unknown_task_age = coalesce($5, s.unknown_task_age)
    returning s.lost_after, s.max_crashes, s.retention, s.failed_retention, s.unknown_task_age
$$;
