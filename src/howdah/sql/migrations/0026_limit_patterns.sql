-- A worker of the previous release goes on.
-- The limits that speak for many keys, found without a walk over those of single ones. Places come and go with each job.
create index limit_pattern on _howdah.limit (length(name)) where right(name, 1) = '*';
alter table _howdah.place set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
