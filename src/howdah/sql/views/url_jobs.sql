-- URL jobs, live and finished, with what they are to call. Inserting enqueues through howdah.http:
-- insert into howdah.http_jobs (url, method, data) values (…), with an id of the caller's choice or without.
create or replace view howdah.http_jobs as
select j.id, j.args ->> 'url' as url, j.args ->> 'method' as method, j.args -> 'json' as data, j.args -> 'headers' as headers,
       j.args -> 'form' as form, pg_catalog.decode(j.args ->> 'base64', 'base64') as body, j.timeout,
       coalesce((j.args ->> 'notify')::boolean, true) as notify,
       pg_catalog.translate(j.args ->> 'retry_on', '[]', '{}')::int[] as retry_on,
       pg_catalog.translate(j.args ->> 'fail_on', '[]', '{}')::int[] as fail_on,
       (j.args ->> 'idempotent')::boolean as idempotent, j.args ->> 'sign' as sign,
       (j.args ->> 'max_response')::bigint as max_response, (j.args ->> 'redirects')::int as redirects,
       j.queue, j.priority, j.run_at, j.max_attempts, j.delivery, j.unique_key, j.tags,
       j.state, j.attempt, j.error, j.created_at, j.started_at, j.finished_at,
       j.serial_key, j.limit_keys
from howdah.jobs j where j.task = 'http';

create or replace function _howdah.http_jobs_insert() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    fixed  text := concat_ws(', ',
        case when new.state is not null then 'state' end, case when new.attempt is not null then 'attempt' end,
        case when new.error is not null then 'error' end, case when new.created_at is not null then 'created_at' end,
        case when new.started_at is not null then 'started_at' end, case when new.finished_at is not null then 'finished_at' end);
begin
    if fixed <> '' then
        perform _howdah.refuse('JQ001', format('only the engine sets %s', fixed),
            'Insert url, method, data, headers, form, body, timeout, notify, id, serial_key, limit_keys, or what a job has besides.');
    end if;
    new.id := howdah.http(
        new.method, new.url, new.data, new.headers, new.timeout, new.form, new.body, new.queue, new.priority, new.run_at, null,
        new.max_attempts, new.delivery, new.id, new.unique_key, new.tags, new.notify, new.retry_on, new.fail_on, new.idempotent,
        new.sign, new.max_response, new.redirects, serial_key => new.serial_key, limit_keys => new.limit_keys);
    return new;
end $$;
create or replace trigger http_jobs_insert instead of insert on howdah.http_jobs
for each row execute function _howdah.http_jobs_insert();

-- The answers to URL jobs that have ended; none where no server has answered (howdah.jobs says why). job_id is the same as id.
create or replace view howdah.http_responses as
select r.job_id as id, r.status, r.headers, r.body, r.duration, r.attempts, r.url, r.finished_at, r.job_id
from _howdah.http_response r cross join (select) no_write;

-- What URL jobs may reach beside the public internet.
create or replace view howdah.http_allowed as
select t.scheme, t.host::text as host, t.port, t.path::text as path,
       t.scheme || '://' || case when pg_catalog.strpos(t.host, ':') > 0 then '[' || t.host || ']' else t.host end
           || ':' || t.port || t.path as url, t.created_at
from _howdah.http_target t cross join (select) no_write;
