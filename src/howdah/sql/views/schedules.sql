-- Schedules, with their next tick as far as it is known: NULL is not yet found, or none any more.
create or replace view howdah.schedules as
select s.name::text as name, s.kind, s.rule, s.tz, s.task::text as task, s.args, s.options, s.paused,
       nullif(s.next_at, 'infinity') as next_at, s.next_at is not distinct from 'infinity' as ended, s.last_tick, s.last_job,
       s.missed, s.missed_after, s.missed_within, s.overlap, s.declared_in, s.vanished_at, s.error, s.created_at, s.starts_at,
       s.handled
from _howdah.schedule s cross join (select) no_write;

-- The ticks that were dealt with, as long as history is kept; job_id is NULL for one left out because the job before had not ended.
create or replace view howdah.ticks as
select t.schedule::text as schedule, t.tick, t.fired_at, t.job_id from _howdah.tick t cross join (select) no_write;
