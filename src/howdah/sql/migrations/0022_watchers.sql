-- A worker of the previous release goes on: the functions it calls are replaced.
-- Queues whose states somebody watches live, and until when. The sequence says without a look whether anybody does at all.
create table _howdah.watcher (
    queue  text collate "C" primary key,
    until  timestamptz not null
);
create sequence _howdah.watch_mark as bigint;
