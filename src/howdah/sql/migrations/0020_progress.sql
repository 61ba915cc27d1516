-- A worker of the previous release goes on: it tells of no progress.
-- How far running jobs are, by their own account; at most about one write a second for each. Logged, for a table that is not could
-- not be read on a standby, and howdah.jobs with it. Rows of ended attempts mean nothing, and leave with the chores.
create table _howdah.progress (
    job_id    uuid primary key,
    lease     uuid not null,                        -- of the attempt that told it
    noted_at  timestamptz not null,
    done      float8 not null,
    total     float8,
    note      text
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
