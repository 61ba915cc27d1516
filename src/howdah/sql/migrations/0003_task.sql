-- First release: no earlier worker exists.
-- What workers declared of their tasks, so that a job enqueued from SQL gets the same defaults.
create table _howdah.task (
    name           text collate "C" primary key check (length(name) between 1 and 120),
    queue          text collate "C",
    priority       int,
    max_attempts   int,
    timeout_ms     bigint,                          -- 0: none
    delivery       "char",
    first_ms       bigint not null default 3000,    -- backoff: first, times factor each time, at most longest
    factor         float8 not null default 2,
    longest_ms     bigint not null default 3600000,
    jitter         float8 not null default 0.1,     -- plus or minus this share
    parameters     jsonb,                           -- JSON Schema of the arguments, for people and forms
    declared_at    timestamptz not null
);
