-- A worker of the previous release goes on: it does not know the task `http`, so it never claims its jobs.
-- Answers to URL jobs, apart from the jobs' own states; by day, and dropped with the days of history.
create table _howdah.http_response (
    finished_at  timestamptz not null,
    job_id       uuid     not null,
    status       int      not null check (status between 100 and 999),
    attempts     int      not null,
    duration     interval not null,             -- of the last attempt, from its first byte sent to its last received
    url          text     not null,             -- that answered, after redirects
    headers      jsonb    not null,             -- [[name, value], …], in order, repeats kept
    body         bytea    not null
) partition by range (finished_at);
create index http_response_job on _howdah.http_response (job_id);
create table _howdah.http_response_default partition of _howdah.http_response default;

-- What URL jobs may reach beside the public internet: an origin, and the paths below one.
create table _howdah.http_target (
    scheme      text not null check (scheme in ('http', 'https')),
    host        text collate "C" not null check (length(host) between 1 and 253),
    port        int  not null check (port between 1 and 65535),
    path        text collate "C" not null check (path like '/%' and length(path) <= 2000),
    created_at  timestamptz not null,
    primary key (scheme, host, port, path)
);
