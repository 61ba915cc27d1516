-- Slices of howdah.jobs, with its columns: live ones by state, and the failed ones. `cross join (select)` costs nothing and keeps PostgreSQL
-- from making a view of one table writable past the engine.
create or replace view howdah.ready as
select j.id, j.queue::text as queue, j.task::text as task, j.args, j.priority, j.attempt, coalesce(j.max_attempts, 4) as max_attempts,
       coalesce(j.run_at, j.created_at) as run_at, j.created_at, j.tags, j.headers,
       _howdah.state_name(j.state) as state, _howdah.timeout_span(j.timeout_ms) as timeout,
       null::timestamptz as started_at, null::timestamptz as finished_at, null::uuid as worker, null::jsonb as result,
       (select a.error from _howdah.attempt a where a.job_id = j.id and j.attempt > 0 order by a.finished_at desc limit 1) as error
from _howdah.job j cross join (select) no_write where j.state = 'r';

create or replace view howdah.scheduled as
select j.id, j.queue::text as queue, j.task::text as task, j.args, j.priority, j.attempt, coalesce(j.max_attempts, 4) as max_attempts,
       j.run_at, j.created_at, j.tags, j.headers,
       _howdah.state_name(j.state) as state, _howdah.timeout_span(j.timeout_ms) as timeout,
       null::timestamptz as started_at, null::timestamptz as finished_at, null::uuid as worker, null::jsonb as result,
       (select a.error from _howdah.attempt a where a.job_id = j.id and j.attempt > 0 order by a.finished_at desc limit 1) as error
from _howdah.job j cross join (select) no_write where j.state = 's';

-- Workers whose session holds its advisory lock: their connection has not ended.
create or replace view _howdah.connected as
select w.id from _howdah.worker w
join pg_catalog.pg_locks k on k.locktype = 'advisory' and k.objsubid = 1 and k.granted
 and (k.classid::bigint << 32 | k.objid::bigint) = w.lock_key
where k.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database());

-- Workers that are alive and take jobs.
create or replace view _howdah.serving as
select w.id, w.queues, w.tasks from _howdah.worker w cross join _howdah.pulse p
where w.control = 'go' and greatest(w.beat_at, p.resumed_at) + w.lost_after >= _howdah.clock();

-- By lease: no index on running jobs is needed. Without a worker a lease ends by its time, with one by the worker's silence.
create or replace view _howdah.leased as
select j.id, j.queue::text as queue, j.task::text as task, j.args, j.priority, j.attempt, coalesce(j.max_attempts, 4) as max_attempts,
       _howdah.timeout_span(j.timeout_ms) as timeout, l.claimed_at as started_at, l.worker, j.leased_until, j.created_at, j.tags,
       j.headers,
       case when l.worker is null then coalesce(j.leased_until <= _howdah.clock(), false)
            else coalesce(greatest(w.beat_at, p.resumed_at) + w.lost_after < _howdah.clock(), true) end as is_expired,
       coalesce(j.run_at, j.created_at) as run_at,
       (select a.error from _howdah.attempt a where a.job_id = j.id and j.attempt > 0 order by a.finished_at desc limit 1) as error
from _howdah.lease l
cross join _howdah.pulse p
left join _howdah.worker w on w.id = l.worker
cross join lateral unnest(l.ids) i (id)
-- offset 0: one look by id each, never a join with all jobs
cross join lateral (
    select k.id, k.queue, k.task, k.args, k.priority, k.attempt, k.max_attempts, k.timeout_ms, k.leased_until, k.created_at, k.tags,
           k.headers, k.run_at
    from _howdah.job k where k.id = i.id and k.lease = l.lease offset 0) j;

create or replace view howdah.running as
select r.id, r.queue, r.task, r.args, r.priority, r.attempt, r.max_attempts, r.timeout, r.started_at, r.worker, r.leased_until,
       r.created_at, r.tags, r.headers, 'running'::text as state, r.run_at, null::timestamptz as finished_at, null::jsonb as result, r.error
from _howdah.leased r where not r.is_expired;

create or replace view howdah.expired as
select r.id, r.queue, r.task, r.args, r.priority, r.attempt, r.max_attempts, r.timeout, r.started_at, r.worker, r.leased_until,
       r.created_at, r.tags, r.headers, 'running'::text as state, r.run_at, null::timestamptz as finished_at, null::jsonb as result, r.error
from _howdah.leased r where r.is_expired;

create or replace view howdah.failed as
select f.id, f.queue::text as queue, f.task::text as task, f.args, f.priority, f.attempt, coalesce(f.max_attempts, 4) as max_attempts,
       f.created_at, f.started_at, f.finished_at, f.worker, f.error, f.tags, f.headers,
       _howdah.state_name(f.state) as state, _howdah.timeout_span(f.timeout_ms) as timeout, coalesce(f.run_at, f.created_at) as run_at, f.result
from _howdah.finished_failed f cross join (select) no_write where f.state = 'F';

create or replace view howdah.attempts as
select a.job_id, a.attempt, a.outcome, a.error, a.started_at, a.finished_at, a.worker from _howdah.attempt a cross join (select) no_write;
