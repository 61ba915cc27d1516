-- No release came before: no worker meets jobs that wait for others.
-- Jobs that wait for jobs. Such a job is stored in state w, blocked for whoever looks, and holds no key and no place in any order until the
-- last of its parents has ended. hooks says what hangs on a job: 16 others wait for it, 32 it is part of a workflow.
alter table _howdah.job
    drop constraint job_state,
    add constraint job_state check (state in ('s', 'b', 'r', 'x', 'w'));
create index job_dependent on _howdah.job (queue) where state = 'w';

-- What a job still waits for. An edge goes when its parent ends well, or when that does not matter; else it says how the parent ended.
create table _howdah.edge (
    parent  uuid not null,
    child   uuid not null,
    place   int  not null,                          -- among the parents of the child
    policy  "char" not null check (policy in ('f', 'c', 'i')),  -- a parent that failed: fail the child, cancel it, or ignore that
    armed   boolean not null default false,         -- the parent's row says that somebody waits
    state   "char"                                  -- NULL: the parent has not ended
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index edge_parent on _howdah.edge (parent) where state is null;
create index edge_child on _howdah.edge (child, place desc);

alter type _howdah.keys add attribute waits boolean;
