-- Every job, live and finished, in one shape. Inserting enqueues through howdah.enqueue.
create or replace view howdah.jobs as
select j.id, j.queue::text as queue, j.task::text as task, j.args, _howdah.state_name(j.state) as state, j.priority, j.attempt,
       coalesce(j.max_attempts, 4) as max_attempts, _howdah.timeout_span(j.timeout_ms) as timeout,
       coalesce(j.run_at, j.created_at) as run_at, j.created_at, l.claimed_at as started_at, null::timestamptz as finished_at,
       l.worker, null::jsonb as result,
       (select a.error from _howdah.attempt a where a.job_id = j.id and j.attempt > 0
        order by a.finished_at desc limit 1) as error,
       j.tags, j.headers, _howdah.delivery_name(j.delivery) as delivery, j.unique_key::text as unique_key, j.crashes::int as crashes,
       j.leased_until, j.serial_key::text as serial_key, j.limit_keys, j.cursor
from _howdah.job j left join _howdah.lease l on l.lease = j.lease
union all
select f.id, f.queue::text, f.task::text, f.args, _howdah.state_name(f.state), f.priority, f.attempt, coalesce(f.max_attempts, 4),
       _howdah.timeout_span(f.timeout_ms), coalesce(f.run_at, f.created_at), f.created_at, f.started_at, f.finished_at, f.worker,
       f.result, f.error, f.tags, f.headers, _howdah.delivery_name(f.delivery), f.unique_key::text, f.crashes::int, null::timestamptz,
       f.serial_key::text, f.limit_keys, f.cursor
from _howdah.finished f;

create or replace function _howdah.jobs_insert() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    fixed  text := concat_ws(', ',
        case when new.state is not null then 'state' end, case when new.attempt is not null then 'attempt' end,
        case when new.created_at is not null then 'created_at' end, case when new.started_at is not null then 'started_at' end,
        case when new.finished_at is not null then 'finished_at' end, case when new.worker is not null then 'worker' end,
        case when new.result is not null then 'result' end, case when new.error is not null then 'error' end,
        case when new.crashes is not null then 'crashes' end, case when new.cursor is not null then 'cursor' end, case when new.leased_until is not null then 'leased_until' end);
begin
    if fixed <> '' then
        perform _howdah.refuse('JQ001', format('only the engine sets %s', fixed),
            'Insert task, args, queue, priority, run_at, max_attempts, timeout, delivery, id, unique_key, serial_key, limit_keys, headers or tags.');
    end if;
    new.id := howdah.enqueue(new.task, new.args, new.queue, new.priority, new.run_at, null, new.max_attempts, new.timeout,
                             new.delivery, new.id, new.unique_key, new.headers, new.tags, serial_key => new.serial_key,
                             limit_keys => new.limit_keys);
    return new;
end $$;
create or replace trigger jobs_insert instead of insert on howdah.jobs for each row execute function _howdah.jobs_insert();
