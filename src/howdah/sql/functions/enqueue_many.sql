-- Enqueues up to 10,000 jobs, all or none, in the caller's transaction; answers in input order.
-- created is false where a unique key, or an id of the caller's, led to a job that was already there.
-- Over PostgREST a JSON array of objects fits, because the parameter is named.
create or replace function howdah.enqueue_many(jobs howdah.new_job[])
returns table (ordinal int, id uuid, created boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform _howdah.check_jobs(jobs, null);
    if exists (select from (select distinct j.task, j.queue from unnest(jobs) j) d where _howdah.is_keyed(d.task, d.queue)) then
        return query select p.ordinal, p.id, p.created from _howdah.put_keyed(jobs) p order by p.ordinal;
    else
        return query select p.ordinal, p.id, p.created from _howdah.put(jobs) p;
    end if;
end $$;

-- Refuses the batch for the first job that cannot be stored as it is.
create or replace function _howdah.check_jobs(jobs howdah.new_job[], keys jsonb[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    problem  record;
begin
    if cardinality(jobs) > 10000 then
        perform _howdah.refuse('JQ001', cardinality(jobs) || ' jobs in one call, at most 10,000 are taken',
                               'Nothing was enqueued. Send them in several calls.');
    end if;
    select n.ordinal, n.flaw into problem
    from (select j.ordinal, coalesce(_howdah.flaw(j.task, j.args, j.queue, j.priority, j.run_at, j.delay, j.max_attempts, j.timeout,
                                                  j.no_timeout, j.delivery, j.unique_key, j.headers, j.tags),
                                     case when check_jobs.keys[j.ordinal] is not null then
                                         coalesce(_howdah.untyped_flaw(check_jobs.keys[j.ordinal]), _howdah.keys_flaw(check_jobs.keys[j.ordinal], j.unique_key)) end) as flaw
          from unnest(jobs) with ordinality j (task, args, queue, priority, run_at, delay, max_attempts, timeout, no_timeout,
                                               delivery, id, unique_key, headers, tags, ordinal)) n
    where n.flaw is not null order by n.ordinal limit 1;
    if found then
        perform _howdah.refuse('JQ001', format('job %s of the batch: %s', problem.ordinal, problem.flaw), 'Nothing was enqueued. Correct this and enqueue again.');
    end if;
end $$;

-- What is wrong with keys that came as JSON, where howdah.enqueue has parameters with types; NULL when nothing is.
create or replace function _howdah.untyped_flaw(keys jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when keys ->> 'earlier' not in ('true', 'false') then format('earlier must be true or false, got %L', keys ->> 'earlier')
        when keys ->> 'unique_for' !~ '[0-9]'
             or keys ->> 'unique_for' !~* '^(P[-+0-9.:YMWDTHS]+|([-+0-9.:, @]|years?|yrs?|y|months?|mons?|weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s|milliseconds?|msecs?|ms|microseconds?|usecs?|us|ago)+)$'
            then format('unique_for must be a span of time like 10 minutes, got %L', keys ->> 'unique_for')
    end;
end $$;

-- The same from one JSON array of objects with the fields of howdah.new_job, and those that say a job's keys (keys.sql), for clients that build no composites.
create or replace function howdah.enqueue_json(jobs jsonb)
returns table (ordinal int, id uuid, created boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    strange  text;
    made     howdah.new_job[];
    keys     jsonb[];
    named    constant text[] := '{serial_key,collapse,on_failure,limit_keys,unique_per,unique_while,unique_for,on_conflict,earlier,after}';
begin
    if jsonb_typeof(enqueue_json.jobs) is distinct from 'array'
       or exists (select from jsonb_array_elements(enqueue_json.jobs) j where jsonb_typeof(j) <> 'object') then
        perform _howdah.refuse('JQ001', 'jobs must be a JSON array of objects', 'Nothing was enqueued. Correct this and enqueue again.');
    end if;
    select k.name into strange
    from jsonb_array_elements(enqueue_json.jobs) j cross join lateral jsonb_object_keys(j) k (name)
    where k.name not in ('task', 'args', 'queue', 'priority', 'run_at', 'delay', 'max_attempts', 'timeout', 'no_timeout',
                         'delivery', 'id', 'unique_key', 'headers', 'tags') and k.name <> all (named)
    limit 1;
    if found then
        perform _howdah.refuse('JQ001', format('a job has no field %L', strange), 'Nothing was enqueued.');
    end if;
    select array_agg(jsonb_populate_record(null::howdah.new_job, j.job) order by j.ordinal),
           array_agg(case when j.job ?| named then nullif(jsonb_strip_nulls(jsonb_build_object(
               'serial_key', j.job -> 'serial_key', 'collapse', j.job -> 'collapse', 'on_failure', j.job -> 'on_failure',
               'limit_keys', j.job -> 'limit_keys', 'unique_per', j.job -> 'unique_per', 'unique_while', j.job -> 'unique_while',
               'unique_for', j.job -> 'unique_for', 'on_conflict', j.job -> 'on_conflict', 'earlier', j.job -> 'earlier',
               'after', nullif(_howdah.after_of(j.job -> 'after'), '{}'))), '{}') end order by j.ordinal)
    into made, keys from jsonb_array_elements(enqueue_json.jobs) with ordinality j (job, ordinal);
    if array_remove(keys, null) <> '{}' then
        perform _howdah.check_jobs(made, keys);
        return query select p.ordinal, p.id, p.created from _howdah.put_keyed(made, keys) p order by p.ordinal;
    else
        return query select e.ordinal, e.id, e.created from howdah.enqueue_many(made) e;
    end if;
end $$;
