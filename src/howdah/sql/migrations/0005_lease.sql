-- First release: no earlier worker exists.
-- One row per claim call: who runs what. No index on running jobs, and one dead row per claim instead of one per job.
create table _howdah.lease (
    lease       uuid primary key,
    worker      uuid,                               -- NULL: a caller without a worker
    claimed_at  timestamptz not null,
    ids         uuid[] not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
create index lease_worker on _howdah.lease (worker, claimed_at);
