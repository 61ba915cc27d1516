-- A worker of the previous release goes on: it does not look at schedules, and names the columns of control that it reads.
-- What makes jobs by time. Few rows, written once a tick; nothing is indexed, so that each write stays within its page.
create table _howdah.schedule (
    name           text collate "C" primary key check (length(name) between 1 and 120),
    revision       bigint      not null,            -- drawn anew with each change by hand or declaration
    created_at     timestamptz not null,
    starts_at      timestamptz not null,            -- from where an interval, or an RRULE without DTSTART, counts
    handled        timestamptz not null,            -- ticks up to here are dealt with
    next_at        timestamptz,                     -- NULL: not yet found, by whoever can; infinity: there is none any more
    taken_until    timestamptz,                     -- somebody is at it: others need not, until then
    declared_at    timestamptz,
    vanished_at    timestamptz,                     -- since when the code that declared it does so no more
    last_tick      timestamptz,
    missed_after   interval    not null check (missed_after >= '1 s'),
    missed_within  interval    not null check (missed_within >= '0'),
    last_job       uuid,
    paused         boolean     not null default false,
    kind           text        not null check (kind in ('cron', 'every', 'rrule')),
    rule           text        not null check (length(rule) between 1 and 1024),  -- of an interval its seconds
    tz             text        not null,
    task           text collate "C" not null,
    args           jsonb       not null,
    options        jsonb       not null,            -- of the job, as enqueue_json takes them
    missed         text        not null check (missed in ('skip', 'one', 'all')),
    overlap        text        not null check (overlap in ('allow', 'skip', 'replace')),
    declared_in    text,                            -- the package whose code declares it; NULL: made in the database
    error          text                             -- why its next tick could not be found, or its job not be made
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
create sequence _howdah.schedule_revision as bigint;

-- Each tick that was dealt with, once: inserted in the transaction that stores its job.
create table _howdah.tick (
    schedule  text collate "C" not null,
    tick      timestamptz not null,
    fired_at  timestamptz not null,
    job_id    uuid,                                 -- NULL: left out, because the job before it had not ended
    primary key (schedule, tick)
);
create index tick_fired on _howdah.tick (fired_at);

alter type howdah.control add attribute next_tick_in interval;  -- until a schedule is due; NULL: none within a day
