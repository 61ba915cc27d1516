-- Emits an event in the caller's transaction: each listener that it fits gets a job. Returns how many listened.
create or replace function howdah.emit(event text, data jsonb default '{}') returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if emit.event is null or length(emit.event) not between 1 and 400 or strpos(emit.event, '*') > 0 then
        perform _howdah.refuse('JQ001', 'an event has a name of 1 to 400 characters and no *', 'For example ''user.created''.');
    end if;
    return _howdah.emit(emit.event, emit.data, '{}', 200);
end $$;

-- `heard` are the listeners whose jobs led to this event: they do not hear it, or it would go round for ever. patience is for how
-- many milliseconds another transaction that gathers events in the same job is waited for; then there is a job more.
create or replace function _howdah.emit(event text, data jsonb, heard text[], patience int) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    listener  record;
    told      jsonb;
    n         int := 0;
begin
    for listener in
        select l.name, l.collapse, l.collapse_on from _howdah.listener l
        where not l.paused and l.name <> all (emit.heard)
          and (l.event = emit.event or (right(l.event, 1) = '*' and starts_with(emit.event, left(l.event, -1))))
        order by l.name
    loop
        told := jsonb_build_object('name', emit.event, 'listener', listener.name, 'at', _howdah.clock(), 'data', emit.data);
        if not listener.collapse then
            perform _howdah.listener_job(listener.name, jsonb_build_object('event', told), emit.heard);
        else
            perform _howdah.gather(listener.name, coalesce(emit.data ->> listener.collapse_on, ''), told, emit.heard, emit.patience);
        end if;
        n := n + 1;
    end loop;
    return n;
end $$;

-- Adds an event to the job that gathers those of this listener and value, if it still waits and has room; else makes it.
create or replace function _howdah.gather(listener text, value text, told jsonb, heard text[], patience int) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    before  text := current_setting('lock_timeout');
    given   jsonb := jsonb_build_object('events', jsonb_build_array(gather.told));
    job     uuid;
begin
    begin
        perform set_config('lock_timeout', gather.patience || 'ms', true);
        perform pg_advisory_xact_lock('_howdah.listener'::regclass::oid::int, hashtext(gather.listener || chr(1) || gather.value));
    exception when lock_not_available then
        perform set_config('lock_timeout', before, true);
        perform _howdah.listener_job(gather.listener, given, gather.heard);
        return;
    end;
    perform set_config('lock_timeout', before, true);
    if pg_column_size(given) < 500000 and _howdah.args_flaw(given) is null then
        job := (select g.job_id from _howdah.gathering g where g.listener = gather.listener and g.value = md5(gather.value));
    end if;
    -- Waiting is what has no lease; one that is just being claimed is waited for, and then has one. || '{}': as large as it is, and not as it is stored.
    update _howdah.job j set args = jsonb_set(j.args, '{events}', (j.args -> 'events') || gather.told)
    where j.id = job and j.lease is null and pg_column_size(j.args || '{}') < 500000;
    if not found then
        job := _howdah.listener_job(gather.listener, given, gather.heard);
        insert into _howdah.gathering as g (listener, value, job_id) values (gather.listener, md5(gather.value), job)
        on conflict (listener, value) do update set job_id = excluded.job_id;
    end if;
end $$;

create or replace function _howdah.listener_job(listener text, given jsonb, heard text[]) returns uuid
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    select e.id
    from _howdah.listener l
    cross join lateral howdah.enqueue_json(jsonb_build_array(
        l.options
        || jsonb_build_object('task', l.task, 'args', l.args || listener_job.given, 'headers', coalesce(l.options -> 'headers', '{}')
                              || jsonb_build_object('listeners', listener_job.heard || l.name::text))
        || case when l.delay is null then '{}' else jsonb_build_object('delay', l.delay) end)) e
    where l.name = listener_job.listener
$$;

-- What the end of a job says, and who is not to hear it. What is large, or deep, is left out.
create or replace function _howdah.end_of(job _howdah.job, state "char", result jsonb, error text, started_at timestamptz) returns jsonb
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'id', (job).id, 'event', format('job.%s.%s.%s', _howdah.state_name(state), (job).queue, (job).task),
        'heard', coalesce((job).headers -> 'listeners', '[]'),
        'data', jsonb_build_object(
            'id', (job).id, 'state', _howdah.state_name(state), 'queue', (job).queue, 'task', (job).task, 'attempt', (job).attempt,
            'started_at', started_at, 'finished_at', _howdah.clock(), 'error', left(error, 10000),
            'result', case when pg_column_size(result) < 100000
                            and (pg_column_size(result) < 480
                                 or not jsonb_path_exists(result, 'strict $.**{58} ? (@.type() == "array" || @.type() == "object")')) then result end))
$$;

-- Emits the ends of those that were moved.
create or replace function _howdah.emit_ends(ends jsonb[], moved uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    told  jsonb;
begin
    foreach told in array ends loop
        if (told ->> 'id')::uuid = any (moved) then
            perform _howdah.emit(told ->> 'event', told -> 'data', _howdah.texts(told -> 'heard'), 50);
        end if;
    end loop;
end $$;

-- A JSON array of texts; whoever wrote something else into the headers gets none.
create or replace function _howdah.texts(given jsonb) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select case when jsonb_typeof(given) = 'array'
                then array(select t from jsonb_array_elements_text(given) t where t is not null limit 100) else '{}' end
$$;
