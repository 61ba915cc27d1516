-- Makes a schedule, or changes it: jobs of a task by a cron line, by a fixed interval, or by an RRULE of RFC 5545. Exactly one of
-- cron, every and rrule. tz is the zone of the wall clock that cron lines and RRULEs are about. The rest is as for enqueue.
-- missed says what becomes of ticks that nobody was there to fire for longer than missed_after: skip, one (the last of them) or
-- all; none older than missed_within. overlap says what happens while the job before has not ended: allow, skip or replace it.
-- An unchanged rule goes on where it stands; a changed one starts now, or at starts_at. Returns whether anything changed.
-- A schedule that code declares is from then on the database's, until it is deleted.
create or replace function howdah.put_schedule(
    name           text,
    task           text,
    cron           text        default null,
    every          interval    default null,
    rrule          text        default null,
    tz             text        default 'UTC',
    args           jsonb       default '{}',
    queue          text        default null,
    priority       bigint      default null,
    max_attempts   bigint      default null,
    timeout        interval    default null,
    delivery       text        default null,
    unique_key     text        default null,
    headers        jsonb       default null,
    tags           text[]      default null,
    no_timeout     boolean     default false,
    missed         text        default 'one',
    missed_after   interval    default '60 s',
    missed_within  interval    default '1 day',
    overlap        text        default 'allow',
    starts_at      timestamptz default null
) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    flaw   text;
    given  jsonb;
begin
    flaw := coalesce(
        case when num_nonnulls(put_schedule.cron, put_schedule.every, put_schedule.rrule) <> 1 then 'give one of cron, every and rrule' end,
        _howdah.flaw(put_schedule.task, put_schedule.args, put_schedule.queue, put_schedule.priority, null, null,
                     put_schedule.max_attempts, put_schedule.timeout, put_schedule.no_timeout, put_schedule.delivery,
                     put_schedule.unique_key, put_schedule.headers, put_schedule.tags));
    if flaw is not null then
        perform _howdah.refuse('JQ001', 'this cannot be a schedule: ' || flaw, 'Nothing was changed. Correct this and put it again.');
    end if;
    select jsonb_object_agg(o.key, o.value) into given
    from jsonb_each(jsonb_build_object(
        'queue', put_schedule.queue, 'priority', put_schedule.priority, 'max_attempts', put_schedule.max_attempts,
        'timeout', put_schedule.timeout, 'delivery', put_schedule.delivery, 'unique_key', put_schedule.unique_key,
        'headers', put_schedule.headers, 'tags', put_schedule.tags, 'no_timeout', nullif(put_schedule.no_timeout, false))) o
    where o.value <> 'null';
    return _howdah.store_schedule(
        put_schedule.name, case when put_schedule.cron is not null then 'cron' when put_schedule.every is not null then 'every' else 'rrule' end,
        coalesce(put_schedule.cron, put_schedule.rrule, _howdah.interval_rule(put_schedule.every)), put_schedule.tz,
        put_schedule.task, coalesce(put_schedule.args, '{}'), coalesce(given, '{}'), put_schedule.missed, put_schedule.missed_after,
        put_schedule.missed_within, put_schedule.overlap, put_schedule.starts_at, null) <> 'same';
end $$;

-- An interval as its seconds; of months it has no fixed length.
create or replace function _howdah.interval_rule(every interval) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if extract(month from interval_rule.every) <> 0 or extract(year from interval_rule.every) <> 0
       or interval_rule.every not between interval '1 s' and interval '3660 days' then
        perform _howdah.refuse('JQ001', 'every is an interval of a second to ten years, without months',
                               'For every month use cron, for example ''0 8 1 * *''.');
    end if;
    return trim_scale(extract(epoch from interval_rule.every)::numeric)::text;
end $$;

-- From when on ticks count: those of now are over, and those before it starts never come.
create or replace function _howdah.handled_before(moment timestamptz, starts_at timestamptz) returns timestamptz
language sql immutable parallel safe
return greatest(moment, starts_at - interval '1 us');

-- Stores it: new, changed or same; or kept, where code declares what the database has a schedule of its own for.
create or replace function _howdah.store_schedule(
    name text, kind text, rule text, tz text, task text, args jsonb, options jsonb, missed text, missed_after interval,
    missed_within interval, overlap text, starts_at timestamptz, declared_in text
) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment   timestamptz := _howdah.clock();
    known    _howdah.schedule;
    is_same  boolean;
begin
    perform _howdah.check_schedule(store_schedule.name, store_schedule.kind, store_schedule.rule, store_schedule.tz,
                                   store_schedule.missed, store_schedule.missed_after, store_schedule.missed_within,
                                   store_schedule.overlap);
    insert into _howdah.schedule
        (name, revision, created_at, starts_at, handled, declared_at, missed_after, missed_within, kind, rule, tz, task, args,
         options, missed, overlap, declared_in)
    values
        (store_schedule.name, nextval('_howdah.schedule_revision'), moment, coalesce(store_schedule.starts_at, moment), _howdah.handled_before(moment, store_schedule.starts_at),
         case when store_schedule.declared_in is not null then moment end, store_schedule.missed_after,
         store_schedule.missed_within, store_schedule.kind, store_schedule.rule, store_schedule.tz, store_schedule.task,
         store_schedule.args, store_schedule.options, store_schedule.missed, store_schedule.overlap, store_schedule.declared_in)
    on conflict (name) do nothing;
    if found then
        return 'new';
    end if;

    select s.* into known from _howdah.schedule s where s.name = store_schedule.name for update;
    if not found then  -- it was deleted in the meantime
        return _howdah.store_schedule(store_schedule.name, store_schedule.kind, store_schedule.rule, store_schedule.tz,
            store_schedule.task, store_schedule.args, store_schedule.options, store_schedule.missed, store_schedule.missed_after,
            store_schedule.missed_within, store_schedule.overlap, store_schedule.starts_at, store_schedule.declared_in);
    elsif known.declared_in is null and store_schedule.declared_in is not null then
        return 'kept';
    end if;
    is_same := (known.kind, known.rule, known.tz, coalesce(store_schedule.starts_at, known.starts_at))
               = (store_schedule.kind, store_schedule.rule, store_schedule.tz, known.starts_at);
    if is_same
       and (known.task, known.args, known.options, known.missed, known.missed_after, known.missed_within, known.overlap)
           = (store_schedule.task, store_schedule.args, store_schedule.options, store_schedule.missed, store_schedule.missed_after,
              store_schedule.missed_within, store_schedule.overlap)
       and known.declared_in is not distinct from store_schedule.declared_in and known.vanished_at is null then
        return 'same';
    end if;
    update _howdah.schedule s
    set revision = nextval('_howdah.schedule_revision'), kind = store_schedule.kind, rule = store_schedule.rule,
        tz = store_schedule.tz, task = store_schedule.task, args = store_schedule.args, options = store_schedule.options,
        missed = store_schedule.missed, missed_after = store_schedule.missed_after, missed_within = store_schedule.missed_within,
        overlap = store_schedule.overlap, declared_in = store_schedule.declared_in, vanished_at = null, error = null,
        declared_at = case when store_schedule.declared_in is not null then moment end, taken_until = null,
        starts_at = case when is_same then s.starts_at else coalesce(store_schedule.starts_at, moment) end,
        handled = case when is_same then s.handled else _howdah.handled_before(moment, store_schedule.starts_at) end, next_at = case when is_same then s.next_at end
    where s.name = store_schedule.name;
    return 'changed';
end $$;

-- What is wrong with a cron line, as far as the shape of its fields shows: all that cronsim reads passes, and so does a day that
-- never comes, or a span that ends before it begins. Whoever looks for the next tick finds those.
create or replace function _howdah.cron_flaw(line text) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp
as $$
declare
    fields   text[] := regexp_split_to_array(regexp_replace(line, '^\s+|\s+$', 'g'), '\s+');
    per      text := '(/0*[1-9][0-9]*)?';
    numbers  text[] := array['0*[0-5]?[0-9]', '0*[0-5]?[0-9]', '0*(1?[0-9]|2[0-3])', '0*([1-9]|[12][0-9]|3[01])',
                             '0*([1-9]|1[0-2])|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC', '0*[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT'];
    term     text;
begin
    if cardinality(fields) not in (5, 6) then
        return 'it has five fields, or six with the seconds first';
    end if;
    for n in 7 - cardinality(fields)..6 loop
        term := format('(\*|(%1$s)(-(%1$s))?)%2$s', numbers[n], per)
                || case n when 4 then '|LW?' || per when 6 then format('|0*[0-7]L|(%s)#0*[1-5]', numbers[n]) else '' end;
        if upper(fields[n - 6 + cardinality(fields)] collate "C") !~ format('^(%1$s)(,(%1$s))*$', term) then
            return format('%L is no %s', fields[n - 6 + cardinality(fields)],
                          (array['second', 'minute', 'hour', 'day of the month', 'month', 'day of the week'])[n]);
        end if;
    end loop;
    return null;
end $$;

-- Refuses what cannot be a schedule, as far as SQL can see.
create or replace function _howdah.check_schedule(
    name text, kind text, rule text, tz text, missed text, missed_after interval, missed_within interval, overlap text
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    misread  text := case when check_schedule.kind = 'cron' and length(check_schedule.rule) <= 256 then _howdah.cron_flaw(check_schedule.rule) end;
    flaw     text := case
        when check_schedule.name is null or length(check_schedule.name) not between 1 and 120 then 'a name has 1 to 120 characters'
        when length(check_schedule.rule) > case check_schedule.kind when 'cron' then 256 else 1024 end then 'the rule is too long'
        when misread is not null then format('%L is no cron line: %s', check_schedule.rule, misread)
        when check_schedule.kind = 'rrule' and check_schedule.rule !~* 'FREQ=' then format('%L is no recurrence rule', check_schedule.rule)
        when check_schedule.missed is null or check_schedule.missed not in ('skip', 'one', 'all') then 'missed is skip, one or all'
        when check_schedule.overlap is null or check_schedule.overlap not in ('allow', 'skip', 'replace') then 'overlap is allow, skip or replace'
        when check_schedule.missed_after is null or check_schedule.missed_after not between interval '1 s' and interval '10 years'
            then 'missed_after lies between a second and ten years'
        when check_schedule.missed_within is null or check_schedule.missed_within not between interval '0' and interval '10 years'
            then 'missed_within is at most ten years'
    end;
begin
    if flaw is null then
        begin
            perform now() at time zone check_schedule.tz;
        exception when invalid_parameter_value then
            flaw := format('there is no time zone %L', check_schedule.tz);
        end;
        if check_schedule.tz is null or length(check_schedule.tz) > 100 then
            flaw := 'a time zone has a name, like Europe/Berlin';
        end if;
    end if;
    if flaw is not null then
        perform _howdah.refuse('JQ001', 'this cannot be a schedule: ' || flaw, case when misread is null
            then 'Nothing was changed. Correct this and put it again.'
            else 'Write minute, hour, day of month, month, day of week: ''0 8 * * *'' is daily at 8. A sixth field in front is for seconds.' end);
    end if;
end $$;
