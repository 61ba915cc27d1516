-- No release came before: no worker meets workflows.
-- A workflow is a named run of steps, a step one job or many, and steps wait for steps. Jobs know only that they belong to one (bit 32 of
-- hooks); who ends them writes down here how, and how many, and nobody waits for anybody: _howdah.advance, later and alone, under the lock of the
-- workflow's row, adds up, and lets in what has nothing left to wait for.
create table _howdah.workflow (
    id           uuid primary key,
    name         text collate "C" not null check (length(name) between 1 and 120),
    created_at   timestamptz not null,
    finished_at  timestamptz,
    state        "char" not null default 'x' check (state in ('x', 'S', 'F', 'C')),
    cancelling   boolean not null default false,
    priority     int,                               -- NULL: each step's own
    args         jsonb,                             -- of a request
    percent      float8 not null default 0,         -- it never falls below this
    result       jsonb,
    is_request   boolean not null default false     -- made of pipelines
) with (fillfactor = 70);
create index workflow_finished on _howdah.workflow (finished_at) where finished_at is not null;

create table _howdah.step (
    id           uuid primary key,
    workflow     uuid not null,
    name         text collate "C" not null check (length(name) between 1 and 240),
    place        int  not null,
    state        "char" not null check (state in ('n', 'b', 'o', 'S', 'F', 'C')),  -- new, blocked, open; how it ended
    verdict      "char" check (verdict in ('F', 'C')),  -- its jobs are not to run
    error        text,
    closing      boolean not null default false,    -- it has ended, and not all who wait for it know
    total        int not null default 0,            -- jobs that there are,
    opened       int not null default 0,            -- up to which place they were let in, and how they ended
    succeeded    int not null default 0,
    failed       int not null default 0,
    cancelled    int not null default 0,
    started_at   timestamptz,
    finished_at  timestamptz,
    job          jsonb not null,                    -- as its jobs were, or are to be, enqueued
    refs         jsonb,                             -- {argument: what it is made of}, see _howdah.ref_value
    each         jsonb,                             -- of what its jobs are made when it opens; NULL: they are there
    filled       jsonb,                             -- what came of refs
    pipeline     text,
    "order"      int,
    unique (workflow, name)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index step_new on _howdah.step (workflow) where state = 'n';
create index step_live on _howdah.step (workflow) where state in ('n', 'b', 'o');
create index step_unopened on _howdah.step (workflow, place) where state = 'o' and opened < total;
create index step_complete on _howdah.step (workflow) where state = 'o' and opened >= total and succeeded + failed + cancelled >= total;
create index step_closing on _howdah.step (workflow) where closing;

create table _howdah.step_edge (
    parent  uuid not null,
    child   uuid not null,
    place   int  not null,
    policy  "char" not null check (policy in ('f', 'c', 'i')),
    state   "char",                                 -- how the parent ended; NULL: it has not
    primary key (child, parent)
);
create index step_edge_open on _howdah.step_edge (parent) where state is null;
create index step_edge_waits on _howdah.step_edge (child, place desc) where state is null;
create index step_edge_parent on _howdah.step_edge (parent);

-- The jobs of a workflow, and what came of each.
create table _howdah.member (
    job_id  uuid primary key,
    step    uuid not null,
    place   int  not null,
    state   "char",                                 -- how it ended; NULL: it has not
    result  jsonb,
    error   text
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create unique index member_step on _howdah.member (step, place);

-- How many jobs of a step have ended how: written by whoever ends them, added up and removed by _howdah.advance.
create table _howdah.tally (
    workflow  uuid not null,
    step      uuid not null,
    state     "char" not null,
    n         int not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
create index tally_workflow on _howdah.tally (workflow);

create table _howdah.pipeline (
    name        text collate "C" not null check (length(name) between 1 and 120),
    version     text collate "C" not null check (length(version) between 1 and 60),
    "order"     int  not null check ("order" >= 0),
    steps       jsonb not null,
    created_at  timestamptz not null,
    primary key (name, version)
);

-- A job of a step that is about to be stored.
create type _howdah.new_member as (step uuid, state "char", args jsonb, place int);
