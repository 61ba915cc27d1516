-- First release: no earlier worker exists.
-- Ended jobs, by kind of end (S succeeded; F failed, C cancelled) and by day of finishing: retention drops whole
-- partitions, and failed jobs may be kept longer. The lease stays, so that a repeated finish is known as already done.
create table _howdah.finished (
    created_at    timestamptz not null,
    started_at    timestamptz,
    finished_at   timestamptz not null,
    run_at        timestamptz,
    timeout_ms    bigint,
    priority      int  not null,
    attempt       int  not null,
    base_attempt  int,
    max_attempts  int,
    crashes       smallint not null,
    id            uuid not null,
    lease         uuid,
    worker        uuid,
    state         "char" not null,
    delivery      "char",
    queue         text collate "C" not null,
    task          text collate "C" not null,
    args          jsonb not null,
    result        jsonb,
    error         text,
    unique_key    text collate "C",
    headers       jsonb,
    tags          text[]
) partition by list (state);
create index finished_id on _howdah.finished (id);

create table _howdah.finished_succeeded partition of _howdah.finished for values in ('S') partition by range (finished_at);
create table _howdah.finished_failed partition of _howdah.finished for values in ('F', 'C') partition by range (finished_at);
-- Behind the days: an ack never fails for want of a partition.
create table _howdah.finished_succeeded_default partition of _howdah.finished_succeeded default;
create table _howdah.finished_failed_default partition of _howdah.finished_failed default;

-- Every attempt that did not simply succeed.
create table _howdah.attempt (
    started_at   timestamptz,
    finished_at  timestamptz not null,
    attempt      int  not null,
    job_id       uuid not null,
    lease        uuid,
    worker       uuid,
    outcome      text not null,
    error        text
) partition by range (finished_at);
create index attempt_job on _howdah.attempt (job_id, finished_at);
create table _howdah.attempt_default partition of _howdah.attempt default;
