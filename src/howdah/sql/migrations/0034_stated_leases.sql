-- A worker of the previous release goes on.
-- The number of the worker's last statement of its leases: an older one that arrives late is not heeded.
alter table _howdah.worker add column stated bigint not null default 0;
