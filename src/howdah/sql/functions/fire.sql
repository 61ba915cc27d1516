-- Fires schedules. When they are due SQL does not know: whoever can reads the rules of those that are (or whose next tick is
-- unknown), finds the ticks, and says them to howdah.fire, which compares and stores. Two who do so at once cannot double a tick:
-- only the first finds the schedule as it was when it looked.

-- Schedules that are due, or whose next tick nobody has found yet. For two seconds nobody else is told of them.
create or replace function howdah.due_schedules(kinds text[], n int default 100) returns table (
    name text, revision bigint, kind text, rule text, tz text, starts_at timestamptz, handled timestamptz, next_at timestamptz,
    missed text, missed_after interval, missed_within interval, moment timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    present  timestamptz := _howdah.clock();
begin
    return query
    update _howdah.schedule s set taken_until = present + interval '2 s'
    from (select d.name from _howdah.schedule d
          where not d.paused and d.kind = any (due_schedules.kinds) and (d.next_at is null or d.next_at <= present)
            and _howdah.is_free(d.taken_until, present)
          order by d.next_at nulls first limit due_schedules.n for update skip locked) due
    where s.name = due.name
    returning s.name::text, s.revision, s.kind, s.rule, s.tz, s.starts_at, s.handled, s.next_at, s.missed, s.missed_after,
              s.missed_within, present;
end $$;

-- What was taken for long was taken before the clock was set back.
create or replace function _howdah.is_free(taken_until timestamptz, moment timestamptz) returns boolean
language sql immutable parallel safe
return coalesce(taken_until not between moment and moment + interval '2 min', true);

-- How long until somebody is to look for due schedules; NULL: not within a day.
create or replace function _howdah.next_tick_in(moment timestamptz) returns interval
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select case when first.look_at < next_tick_in.moment + interval '1 day'
                then greatest(first.look_at - next_tick_in.moment, interval '0') end
    from (select min(greatest(coalesce(s.next_at, next_tick_in.moment),
                              case when not _howdah.is_free(s.taken_until, next_tick_in.moment) then s.taken_until end)) as look_at
          from _howdah.schedule s where not s.paused and s.next_at is distinct from 'infinity') first
$$;

-- Deals with all ticks of a schedule up to `upto`: a job for each of `ticks`, and its next tick is next_at (NULL: there is none).
-- Nothing happens when the schedule is not as it was when this was worked out (revision, handled). Returns the jobs' ids.
create or replace function howdah.fire(
    name text, revision bigint, handled timestamptz, ticks timestamptz[], upto timestamptz, next_at timestamptz
) returns setof uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known   _howdah.schedule;
    due     timestamptz;
    job     uuid;
begin
    if fire.upto is null or fire.next_at <= fire.upto
       or exists (select from unnest(fire.ticks) t where t is null or t <= fire.handled or t > fire.upto or t > _howdah.clock()) then
        perform _howdah.refuse('JQ001', 'these are no ticks of a schedule',
                               'They lie after handled, up to upto, and not in the future; next_at lies beyond.');
    end if;
    select s.* into known from _howdah.schedule s
    where s.name = fire.name and s.revision = fire.revision and s.handled = fire.handled and not s.paused
    for update skip locked;
    if not found then
        return;
    end if;
    foreach due in array fire.ticks loop
        insert into _howdah.tick (schedule, tick, fired_at) values (fire.name, due, _howdah.clock()) on conflict do nothing;
        continue when not found;
        if known.overlap <> 'allow' and exists (select from _howdah.job j where j.id = known.last_job) then
            continue when known.overlap = 'skip';
            perform howdah.cancel(known.last_job);
        end if;
        job := _howdah.schedule_job(known, due);
        known.last_job := job;
        update _howdah.tick t set job_id = job where t.schedule = fire.name and t.tick = due;
        return next job;
    end loop;
    update _howdah.schedule s
    set handled = fire.upto, next_at = coalesce(fire.next_at, 'infinity'), taken_until = null, error = null, last_job = known.last_job,
        last_tick = coalesce(fire.ticks[cardinality(fire.ticks)], s.last_tick)
    where s.name = fire.name;
end $$;

-- A job of the schedule, whose headers say of which schedule and tick it is.
create or replace function _howdah.schedule_job(schedule _howdah.schedule, tick timestamptz) returns uuid
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    select e.id from howdah.enqueue_json(jsonb_build_array(
        (schedule).options || jsonb_build_object(
            'task', (schedule).task, 'args', (schedule).args,
            'headers', coalesce((schedule).options -> 'headers', '{}')
                       || jsonb_build_object('schedule', (schedule).name, 'tick', to_char(tick at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))))
    e
$$;

-- What is wrong with a schedule: nobody tries it again for a minute.
create or replace function howdah.fail_schedule(name text, revision bigint, error text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update _howdah.schedule s
    set error = left(fail_schedule.error, 1000), taken_until = _howdah.clock() + interval '1 min'
    where s.name = fail_schedule.name and s.revision = fail_schedule.revision
$$;
