-- A worker of the previous release goes on.
-- Why a workflow cannot go on, if it cannot. Counts are whole numbers: a view cannot change its types.
alter table _howdah.workflow add column error text;
drop view if exists howdah.workflows;
