-- Enqueues a call of a URL in the caller's transaction and returns its job's id: a worker started with --http makes the call,
-- the answer is in howdah.http_responses, and the end is notified on the channel howdah_job_<id>, whose listeners find
-- everything stored. notify => false keeps quiet: each finish that notifies waits for the others' commits.
-- One of data (sent as JSON), form (as a web form) and body (as it is) may be given, or none. method NULL: POST with, GET without.
-- headers: {"name": "text" or {"secret": "name", "prefix": "Bearer "} or an array of these}.
-- Network errors and the statuses retry_on (429 and 503) are tried again, after Retry-After where the server says so. fail_on: statuses
-- that fail the job, 4 and 5 for all of their hundred; all others succeed. idempotent: whether a failure may be tried again
-- (NULL: as the method says). sign: the name of the secret to sign the request with. max_response: bytes, unpacked.
create or replace function howdah.http(
    method        text,
    url           text,
    data          jsonb       default null,
    headers       jsonb       default null,
    timeout       interval    default null,   -- of an attempt, from when its connection is begun; NULL: 30 s
    form          jsonb       default null,
    body          bytea       default null,
    queue         text        default null,   -- NULL: http
    priority      bigint      default null,
    run_at        timestamptz default null,
    delay         interval    default null,
    max_attempts  bigint      default null,
    delivery      text        default null,
    id            uuid        default null,
    unique_key    text        default null,
    tags          text[]      default null,
    notify        boolean     default true,
    retry_on      int[]       default null,
    fail_on       int[]       default null,
    idempotent    boolean     default null,
    sign          text        default null,
    max_response  bigint      default null,   -- NULL: 8 MiB
    redirects     int         default null,   -- to follow at most; NULL: 3
    serial_key    text        default null,   -- from here on as in howdah.enqueue
    collapse      text        default null,
    on_failure    text        default null,
    limit_keys    text[]      default null,
    unique_per    text        default null,
    unique_while  text        default null,
    unique_for    interval    default null,
    on_conflict   text        default null,
    earlier       boolean     default null,
    after         uuid[]      default null,
    after_failed  text        default null
) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    verb  text := upper(coalesce(http.method, case when num_nonnulls(http.data, http.form, http.body) > 0 then 'POST' else 'GET' end));
    flaw  text := _howdah.http_flaw(verb, http.url, http.data, http.headers, http.timeout, http.form, http.body, http.retry_on,
                                    http.fail_on, http.sign, http.max_response, http.redirects);
begin
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was enqueued. Correct this and enqueue again.');
    end if;
    if http.delivery = 'transactional' then
        perform _howdah.refuse('JQ001', 'a URL job cannot be transactional', 'Use at_least_once or at_most_once.');
    end if;
    return howdah.enqueue(
        'http',
        jsonb_build_object('method', verb, 'url', http.url)
            || case when http.data is null then '{}' else jsonb_build_object('json', http.data) end
            || case when http.body is null then '{}' else jsonb_build_object('base64', translate(encode(http.body, 'base64'), E'\n', '')) end
            || jsonb_strip_nulls(jsonb_build_object(
                   'form', http.form, 'headers', http.headers, 'retry_on', http.retry_on, 'fail_on', http.fail_on,
                   'idempotent', http.idempotent, 'sign', http.sign, 'max_response', http.max_response, 'redirects', http.redirects,
                   'notify', nullif(coalesce(http.notify, true), true))),
        coalesce(http.queue, 'http'), http.priority, http.run_at, http.delay, http.max_attempts,
        coalesce(http.timeout, interval '30 s'), http.delivery, http.id, http.unique_key, null, http.tags,
        serial_key => http.serial_key, collapse => http.collapse, on_failure => http.on_failure, limit_keys => http.limit_keys,
        unique_per => http.unique_per, unique_while => http.unique_while, unique_for => http.unique_for, on_conflict => http.on_conflict,
        earlier => http.earlier, after => http.after, after_failed => http.after_failed);
end $$;
