-- Makes a listener, or changes it: each event that fits makes a job of the task, in the transaction that emits it.
-- event is a name or a prefix with one * behind it; every end of a job is the event job.<state>.<queue>.<task>.
-- The job's argument `event` is {name, listener, at, data}. With collapse it is `events`, a list: what is emitted while the job
-- waits (`delay` says how long at least) is added to it; collapse_on names a member of the data, and gathers by its value.
create or replace function howdah.put_listener(
    name          text,
    event         text,
    task          text,
    args          jsonb    default '{}',
    queue         text     default null,
    priority      bigint   default null,
    delay         interval default null,
    max_attempts  bigint   default null,
    timeout       interval default null,
    delivery      text     default null,
    headers       jsonb    default null,
    tags          text[]   default null,
    no_timeout    boolean  default false,
    collapse      boolean  default false,
    collapse_on   text     default null
) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    flaw   text := coalesce(
        case when put_listener.name is null or length(put_listener.name) not between 1 and 120 then 'a name has 1 to 120 characters'
             when put_listener.event is null or length(put_listener.event) not between 1 and 400
                  or strpos(left(put_listener.event, -1), '*') > 0 then 'event is a name, or a prefix with one * behind it, of at most 400 characters' end,
        _howdah.flaw(put_listener.task, put_listener.args, put_listener.queue, put_listener.priority, null, put_listener.delay,
                     put_listener.max_attempts, put_listener.timeout, put_listener.no_timeout, put_listener.delivery, null,
                     put_listener.headers, put_listener.tags),
        _howdah.listener_flaw(put_listener.args, put_listener.headers));
    given  jsonb;
begin
    if flaw is not null then
        perform _howdah.refuse('JQ001', 'this cannot be a listener: ' || flaw, 'Nothing was changed. Correct this and put it again.');
    end if;
    select jsonb_object_agg(o.key, o.value) into given
    from jsonb_each(jsonb_build_object(
        'queue', put_listener.queue, 'priority', put_listener.priority, 'max_attempts', put_listener.max_attempts,
        'timeout', put_listener.timeout, 'delivery', put_listener.delivery, 'headers', put_listener.headers,
        'tags', put_listener.tags, 'no_timeout', nullif(put_listener.no_timeout, false))) o
    where o.value <> 'null';
    return _howdah.store_listener(put_listener.name, put_listener.event, put_listener.task, coalesce(put_listener.args, '{}'),
        coalesce(given, '{}'), put_listener.delay, put_listener.collapse or put_listener.collapse_on is not null,
        put_listener.collapse_on, null) <> 'same';
end $$;

-- Beside its own arguments and headers a listener's jobs get the event, and who is not to hear of them: there must be room for it, or a job that it
-- hears could not end.
create or replace function _howdah.listener_flaw(args jsonb, headers jsonb) returns text
language sql immutable parallel safe
return case
        when pg_catalog.pg_column_size(args) > 500000
            then 'its args have ' || pg_catalog.pg_column_size(args) || ' bytes, at most 500,000 are taken: the event comes beside them'
        when pg_catalog.pg_column_size(headers) > 16384
            then 'its headers have ' || pg_catalog.pg_column_size(headers) || ' bytes, at most 16 KiB are taken'
    end;

create or replace function _howdah.store_listener(
    name text, event text, task text, args jsonb, options jsonb, delay interval, collapse boolean, collapse_on text, declared_in text
) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    known   record;
    flaw    text := _howdah.listener_flaw(store_listener.args, store_listener.options -> 'headers');
begin
    if flaw is not null then
        perform _howdah.refuse('JQ001', format('this cannot be listener %s: %s', store_listener.name, flaw), 'Have its task look up what it needs.');
    end if;
    select l.declared_in, l.event, l.task, l.args, l.options, l.delay, l.collapse, l.collapse_on, l.vanished_at into known
    from _howdah.listener l where l.name = store_listener.name for update;
    if found and known.declared_in is null and store_listener.declared_in is not null then
        return 'kept';
    elsif found and known.vanished_at is null and known.declared_in is not distinct from store_listener.declared_in
          and (known.event, known.task, known.args, known.options, known.collapse)
              = (store_listener.event, store_listener.task, store_listener.args, store_listener.options, store_listener.collapse)
          and (known.delay, known.collapse_on) is not distinct from (store_listener.delay, store_listener.collapse_on) then
        return 'same';
    end if;
    insert into _howdah.listener as l
        (name, created_at, declared_at, delay, collapse, hears_jobs, event, task, args, options, collapse_on, declared_in)
    values
        (store_listener.name, moment, case when store_listener.declared_in is not null then moment end, store_listener.delay,
         store_listener.collapse,
         starts_with(store_listener.event, 'job.')
         or (right(store_listener.event, 1) = '*' and starts_with('job.', left(store_listener.event, -1))),
         store_listener.event, store_listener.task, store_listener.args, store_listener.options, store_listener.collapse_on,
         store_listener.declared_in)
    on conflict (name) do update
    set declared_at = excluded.declared_at, vanished_at = null, delay = excluded.delay, collapse = excluded.collapse,
        hears_jobs = excluded.hears_jobs, event = excluded.event, task = excluded.task, args = excluded.args,
        options = excluded.options, collapse_on = excluded.collapse_on, declared_in = excluded.declared_in;
    return case when known is null then 'new' else 'changed' end;
end $$;
