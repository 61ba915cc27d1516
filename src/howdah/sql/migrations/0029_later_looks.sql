-- A worker of the previous release goes on.
-- A key with a rate that is used up is noted once, for the moment when its next job may start: whether it is, is asked by the key.
create index pending_later on _howdah.pending (key, due) where due is not null;
drop function if exists _howdah.next_start(text);
