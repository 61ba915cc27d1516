-- A worker of the previous release goes on.
-- What waits, be it for a key or for other jobs, is only counted by its queue: one index will do. What was written down of workflows is read step by
-- step.
drop index _howdah.job_blocked;
drop index _howdah.job_dependent;
create index job_blocked on _howdah.job (queue) where state in ('b', 'w');
drop index _howdah.tally_workflow;
create index tally_step on _howdah.tally (workflow, step);
drop function if exists _howdah.check_batch(text, uuid[], jsonb[], bigint, text, bigint, timestamptz, interval, bigint, interval, boolean, text, jsonb, text[]);
