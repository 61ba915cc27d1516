-- A worker of the previous release goes on: the functions it calls are replaced.
-- Where looks for due jobs begin, so that they do not walk over all that was staged while somebody holds an old snapshot.
alter table _howdah.pulse
    add column due_from        timestamptz not null default '-infinity',  -- when this was written, nothing below it waited to be staged
    add column all_looked_at   timestamptz not null default '-infinity';  -- when that was last found by looking from the very start
