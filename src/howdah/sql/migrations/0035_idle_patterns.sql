-- A worker of the previous release goes on: what its marks listen to is generated, too.
-- What a mark listens to as LIKE patterns, made when it is set: whoever wakes it waits for nothing that could be done before.
-- The function as of this version: those of the package are applied after all migrations.
create or replace function _howdah.like_patterns(patterns text[]) returns text[]
language sql immutable parallel safe
return (select coalesce(pg_catalog.array_agg(
        case when pg_catalog.right(p, 1) = '*'
             then pg_catalog.regexp_replace(pg_catalog.left(p, -1), '([\\%_])', '\\\1', 'g') || '%'
             else pg_catalog.regexp_replace(p, '([\\%_])', '\\\1', 'g') end), '{}')
    from pg_catalog.unnest(patterns) p);

alter table _howdah.idle
    add column queue_likes text[] not null generated always as (_howdah.like_patterns(queues)) stored,
    add column task_likes  text[] not null generated always as (_howdah.like_patterns(tasks)) stored;
