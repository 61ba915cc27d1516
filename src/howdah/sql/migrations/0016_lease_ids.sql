-- A worker of the previous release sees nothing of it.
-- The ids of a large claim are stored as they are: to compress them cost more than a microsecond a job.
alter table _howdah.lease alter column ids set storage external;
