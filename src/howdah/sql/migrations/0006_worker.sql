-- First release: no earlier worker exists.
-- Worker processes and their heartbeat; which of them are idle; the pulse that tells down-time from death.
create table _howdah.worker (
    id          uuid primary key,
    started_at  timestamptz not null,
    beat_at     timestamptz not null,
    lost_after  interval    not null,
    lock_key    bigint,                             -- session advisory lock held while its connection lives
    pid         int,
    slots       int,
    name        text not null,
    host        text,
    version     text,
    control     text not null default 'go' check (control in ('go', 'drain', 'kill')),
    queues      text[] not null default '{*}',
    tasks       text[]                              -- NULL: any
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- A table of its own: marks come and go far more often than workers.
create table _howdah.idle (
    worker  uuid primary key,
    queues  text[] not null,
    tasks   text[]
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

create table _howdah.pulse (
    only_row           boolean primary key default true check (only_row),
    beat_at            timestamptz not null,
    resumed_at         timestamptz not null,        -- when the server was last seen to have restarted
    gap_began_at       timestamptz not null,        -- the last time when nobody beat for a while: from here,
    gap_ended_at       timestamptz not null,        -- to here
    server_started_at  timestamptz not null,
    timeline           text not null
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
insert into _howdah.pulse (beat_at, resumed_at, gap_began_at, gap_ended_at, server_started_at, timeline)
values ('epoch', 'epoch', 'epoch', 'epoch', pg_catalog.pg_postmaster_start_time(), '');

-- Who waits for the end of which job; looked at once per batch of finishes.
create table _howdah.waiter (
    job_id  uuid not null,
    waiter  uuid not null,
    until   timestamptz not null,
    primary key (job_id, waiter)
);
