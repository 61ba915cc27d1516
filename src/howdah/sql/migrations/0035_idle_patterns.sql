-- A worker of the previous release goes on: marks without patterns are woken for every queue.
-- What a mark listens to as LIKE patterns, made when it is set: whoever wakes it waits for nothing that could be done before.
alter table _howdah.idle add column queue_likes text[], add column task_likes text[];
