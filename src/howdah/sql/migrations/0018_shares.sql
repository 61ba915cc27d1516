-- No release came before: no worker meets queues that are served in shares.
-- Queues that are served in rounds, over what a template makes of each job's arguments; and priorities that rise with waiting.
alter table _howdah.queue
    add column fair_by    text,                     -- {tenant}; NULL: first come, first served
    add column age_after  interval;                 -- a job that waits so long goes up by one priority; NULL: never
alter table _howdah.job
    add column fair_key   text collate "C",
    add column aged       int;                      -- how often it went up
alter table _howdah.finished add column fair_key text collate "C";
alter type _howdah.keys add attribute fair_key text;

-- Whose turn it is: each job that is let in moves its key on by 1 / weight, and the one that is least far is next.
create table _howdah.share (
    queue   text collate "C" not null,
    key     text collate "C" not null,
    weight  float8 not null default 1 check (weight > 0 and weight <= 1000),
    pass    float8 not null default 0,
    active  boolean not null default false,         -- it has jobs that wait for their turn
    primary key (queue, key)
) with (fillfactor = 50);
create index share_active on _howdah.share (queue) where active;
