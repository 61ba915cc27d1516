-- No release came before: no worker meets jobs that wait for keys.
-- Keyed work: jobs that take turns on a serial key, or share a limit. Whatever road such a job takes, it enters as blocked, and
-- _howdah.admit lets it in under the lock of its key. hooks says what hangs on a job: 1 a serial key, 2 limits; NULL: nothing.
alter table _howdah.job
    add column hooks        int,
    add column serial_key   text collate "C",
    add column limit_keys   text[],
    add column waits_for    text collate "C",       -- of a blocked job whose turn it is: the limit that is reached
    add column waiting_key  text collate "C",       -- unique among jobs that have not started: a claim clears it
    add column on_failure   "char",                 -- NULL: its serial key waits until it is settled; k: the next one goes on
    add column cursor       jsonb,                  -- of the serial key, when the attempt started
    add constraint job_keys check (
        state = 'x' or (octet_length(serial_key) between 1 and 200 and octet_length(waiting_key) <= 600
                        and cardinality(limit_keys) between 1 and 8));
create index job_serial on _howdah.job (serial_key, seq) where state = 'b' and serial_key is not null;
create index job_limited on _howdah.job (waits_for, priority desc, seq) where state = 'b' and waits_for is not null;
create index job_blocked on _howdah.job (queue) where state = 'b';
create unique index job_waiting on _howdah.job (waiting_key) where waiting_key is not null;

alter table _howdah.finished
    add column hooks        int,
    add column serial_key   text collate "C",
    add column limit_keys   text[],
    add column on_failure   "char",
    add column cursor       jsonb;

-- A serial key: whose turn it is, and the cursor that its jobs hand on.
create table _howdah.serial_key (
    key         text collate "C" primary key,
    holder      uuid,                               -- the job whose turn it is; it may have ended
    cursor      jsonb not null default '{}' check (jsonb_typeof(cursor) = 'object' and pg_column_size(cursor) <= 1048576),
    version     bigint not null default 0,          -- counts the changes of the cursor
    updated_at  timestamptz,
    updated_by  uuid                                -- the job; NULL: by hand
) with (fillfactor = 50);

-- How many jobs of a key may run at once, and how many may start in a time, in the whole fleet. A name with a trailing * speaks for all keys that begin so and have none
-- of their own.
create table _howdah.limit (
    name        text collate "C" primary key,
    most        int check (most >= 0),              -- at once; NULL: it says nothing of that
    rate        int check (rate >= 1),              -- in any span of `per`, and at most `burst` of them together; NULL: nothing
    per         interval,
    burst       int,
    created_at  timestamptz not null
);
create type _howdah.rate as (rate int, per interval, burst int);

-- The row under whose lock jobs of a limited key are let in.
create table _howdah.gate (
    key         text collate "C" primary key
);
-- Who holds a place: jobs that were let in and have not ended.
create table _howdah.place (
    key         text collate "C" not null,
    job_id      uuid not null,
    unstarted   boolean,                            -- of a key with a rate: it does not count among the starts yet
    primary key (key, job_id)
);
create index place_job on _howdah.place (job_id);

-- How many jobs of a key with a rate started when: a row for each claim that started some.
create table _howdah.start (
    key         text collate "C" not null,
    at          timestamptz not null,
    n           int not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
create index start_key on _howdah.start (key, at);

-- Keys on which something has changed: a job came, or ended, and perhaps another may go on. Written by whoever changes it, in the
-- same transaction and without any lock; resolved by a later one.
create table _howdah.pending (
    kind        "char" not null,                    -- s a serial key, l a limit
    key         text collate "C" not null,
    due         timestamptz                         -- when to look; NULL: at once
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

-- How long a unique key holds, where it does so for a time and not only until its job ends.
create table _howdah.unique_until (
    key         text collate "C" primary key,
    until       timestamptz not null,
    job_id      uuid not null
);

-- What tasks declare: {"unique_key": "user:{user_id}", "serial_key": …, "limit_keys": […], "collapse": …}; NULL: nothing.
alter table _howdah.task add column keys jsonb;

-- Whether anything is limited by queue or task: one read of a sequence's page, so that enqueue need not look.
create sequence _howdah.has_limits as bigint;

alter type howdah.claimed add attribute hooks int;
alter type howdah.claimed add attribute serial_key text;
alter type howdah.claimed add attribute cursor jsonb;

-- The keys of one job, as they are stored and looked for.
create type _howdah.keys as (
    hooks        int,
    serial_key   text,
    limit_keys   text[],
    on_failure   "char",
    unique_key   text,          -- among unfinished jobs
    waiting_key  text,          -- among jobs that have not started
    until_key    text,          -- for a time
    unique_for   interval,
    on_conflict  text,
    earlier      boolean
);
