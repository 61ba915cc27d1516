-- A worker of the previous release goes on: it reads neither.
-- What a child waited for is kept when it ends without having run, for as long as it can come back.
alter table _howdah.edge add column kept_since timestamptz;  -- NULL: its child waits
create index edge_kept on _howdah.edge (kept_since) where kept_since is not null;

-- How jobs ended badly of which history tells nothing: cancelled in a queue that keeps none, or deleted. For a day, so that who begins to
-- wait for one at that instant hears of it.
create table _howdah.gone (
    id        uuid primary key,
    state     "char" not null,
    ended_at  timestamptz not null
);
create index gone_ended on _howdah.gone (ended_at);
drop function if exists _howdah.reopen_member(uuid);
drop function if exists _howdah.drop_edges(uuid[]);
