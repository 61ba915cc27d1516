-- A worker of the previous release goes on.
-- Whose turn it is in a queue that is served in shares, and where its keys are now, without a walk over all of them.
create index share_turn on _howdah.share (queue, (pass + 1 / weight), key) where active;
create index share_pass on _howdah.share (queue, pass) where active;
drop index _howdah.share_active;
