-- First release: no earlier worker exists.
-- Live jobs only; what ended moves to _howdah.finished. Wide columns first, so that no row is padded.
-- state: s scheduled, b blocked, r ready, x running. NULL means the default, and costs no byte.
create sequence _howdah.seq as bigint;

create table _howdah.job (
    seq            bigint      not null,            -- order within a priority, drawn anew on entering a ready range
    created_at     timestamptz not null,
    run_at         timestamptz,                     -- when due; NULL: at once
    leased_until   timestamptz,                     -- only where no worker renews the lease
    timeout_ms     bigint,                          -- NULL: 60 s; 0: none
    priority       int         not null default 0,  -- greater runs first
    attempt        int         not null default 0,  -- counted at claim
    base_attempt   int,                             -- attempts used before the last retry by hand; NULL: 0
    max_attempts   int,                             -- NULL: 4
    crashes        smallint    not null default 0,
    id             uuid        not null primary key,
    lease          uuid,
    state          "char"      not null,
    delivery       "char",                          -- NULL: at least once; m: at most once; t: transactional
    queue          text collate "C" not null,
    task           text collate "C" not null,
    args           jsonb       not null,
    unique_key     text collate "C",
    headers        jsonb,
    tags           text[],

    constraint job_state check (state in ('s', 'b', 'r', 'x')),
    constraint job_running_has_lease check ((state = 'x') = (lease is not null)),
    constraint job_scheduled_has_time check (state <> 's' or run_at is not null),
    constraint job_counts check (attempt >= 0 and crashes >= 0 and max_attempts >= 1),
    constraint job_timeout check (timeout_ms >= 0),
    constraint job_delivery check (delivery in ('m', 't')),
    -- What a claim does not change is not looked at again by a claim: large arguments would be unpacked for it.
    constraint job_run_at check (state = 'x' or run_at between '1970-01-01' and '2300-01-01'),
    constraint job_names check (state = 'x' or (length(queue) between 1 and 120 and length(task) between 1 and 120)),
    constraint job_unique_key check (state = 'x' or octet_length(unique_key) between 1 and 200),
    constraint job_args check (
        state = 'x' or (
            jsonb_typeof(args) = 'object'
            and pg_column_size(args) <= 1048576
            -- 65 nested containers take more than 512 bytes: small arguments are not searched
            and (pg_column_size(args) < 512 or not jsonb_path_exists(args, 'strict $.**{64} ? (@.type() == "array" || @.type() == "object")'))))
) with (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.2
);

create index job_claim on _howdah.job (queue, priority desc, seq) where state = 'r';
create index job_due on _howdah.job (run_at) where state = 's';
create index job_leased_until on _howdah.job (leased_until) where leased_until is not null;
create unique index job_unique on _howdah.job (unique_key) where unique_key is not null;

-- Ids that callers chose, inserted before the job: the same id again finds its job, live or finished.
create table _howdah.given_id (
    id          uuid primary key,
    created_at  timestamptz not null
);
create index given_id_created on _howdah.given_id (created_at);

-- Requests to cancel running jobs. Nobody but its holder updates a running row.
create table _howdah.cancel_request (
    job_id        uuid primary key,
    lease         uuid not null,                    -- of the attempt that is to stop
    requested_at  timestamptz not null
);
