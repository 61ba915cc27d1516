-- A worker of the previous release goes on: what it calls is the same.
-- What turns events into jobs. Few rows, read by every emit, and by the ends of jobs where one listens to those.
create table _howdah.listener (
    name         text collate "C" primary key check (length(name) between 1 and 120),
    created_at   timestamptz not null,
    declared_at  timestamptz,
    vanished_at  timestamptz,
    delay        interval,                          -- of its jobs
    paused       boolean not null default false,
    collapse     boolean not null,                  -- events are gathered in one job while that waits
    hears_jobs   boolean not null,                  -- its pattern may fit the end of a job
    event        text collate "C" not null check (length(event) between 1 and 400),  -- a name, or a prefix with one * behind it
    task         text collate "C" not null,
    args         jsonb not null,
    options      jsonb not null,                    -- of the job, as enqueue_json takes them
    collapse_on  text,                              -- of the event's data: gathered by each value of this member
    declared_in  text                               -- the package whose code declares it; NULL: made in the database
);

-- In which job the events of a listener are gathered just now; what it names may have begun or ended by now.
create table _howdah.gathering (
    listener  text collate "C" not null,
    value     text not null,
    job_id    uuid not null,
    primary key (listener, value)
) with (fillfactor = 50);
