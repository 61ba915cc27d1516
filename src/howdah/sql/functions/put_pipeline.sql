-- Pipelines: steps in a row, kept under a name and a version, and requests, which run several of them by order. steps is a JSON array, each a
-- task name or an object: task; version of the task; name (default: the task); config, an object that its jobs get as the argument config; gather:
-- true: one job gets the results of all jobs of the step before, in order, as the argument items; and all else that a job may say (queue,
-- priority, timeout, …).
-- What a step returns is what the next one gets: an object as its arguments, a list as one job for each element, all else as the argument item.

-- Keeps a pipeline, or changes it for requests that start from now on. Pipelines of a request with a smaller order end before those with a greater
-- one start; those of order 0 start at once, and nobody waits for them.
create or replace function howdah.put_pipeline(name text, version text, "order" int, steps jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    flaw  text;
begin
    flaw := case
        when put_pipeline.name is null or length(put_pipeline.name) not between 1 and 120 or strpos(put_pipeline.name, ':') > 0 then 'a pipeline needs a name of 1 to 120 characters, without a colon'
        when put_pipeline.version is null or length(put_pipeline.version) not between 1 and 60 then 'a pipeline needs a version of 1 to 60 characters'
        when put_pipeline."order" is null or put_pipeline."order" < 0 then 'the order of a pipeline is 0 or more'
        when jsonb_typeof(put_pipeline.steps) is distinct from 'array' or jsonb_array_length(put_pipeline.steps) not between 1 and 1000 then 'a pipeline needs a list of 1 to 1000 steps'
        else (select format('step %s: %s', s.place, f.flaw) from jsonb_array_elements(put_pipeline.steps) with ordinality s (step, place)
              cross join lateral _howdah.pipeline_step_flaw(put_pipeline.name, s.step, s.place) f (flaw) where f.flaw is not null limit 1) end;
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was changed. For example howdah.put_pipeline(''report'', ''1.0'', 1, ''[{"task": "read"}, {"task": "merge", "gather": true}]'').');
    end if;
    insert into _howdah.pipeline as p (name, version, "order", steps, created_at)
    values (put_pipeline.name, put_pipeline.version, put_pipeline."order", put_pipeline.steps, _howdah.clock())
    on conflict (name, version) do update set "order" = excluded."order", steps = excluded.steps, created_at = excluded.created_at
    where (p."order", p.steps) is distinct from (excluded."order", excluded.steps);
end $$;

create or replace function howdah.delete_pipeline(name text, version text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    delete from _howdah.pipeline p where p.name = delete_pipeline.name and p.version = delete_pipeline.version;
    return found;
end $$;

create or replace function _howdah.pipeline_step_flaw(pipeline text, step jsonb, place bigint) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    fields  jsonb := case when jsonb_typeof(step) = 'string' then jsonb_build_object('task', step) else step end;
    length  int := length(pipeline) + 1 + length(coalesce(fields ->> 'name', fields ->> 'task'));
    asked   howdah.new_job;
    flaw    text;
begin
    if jsonb_typeof(fields) <> 'object' then
        return 'it must be a task name or an object';
    end if;
    begin
        asked := jsonb_populate_record(null::howdah.new_job, fields - '{version,config,gather,name}'::text[]);
    exception when data_exception then
        get stacked diagnostics flaw = message_text;
        return flaw;
    end;
    return case
        when exists (select from jsonb_object_keys(fields) k where k not in (
                 'task', 'version', 'config', 'gather', 'name', 'queue', 'priority', 'delay', 'max_attempts', 'timeout', 'no_timeout', 'delivery', 'headers',
                 'tags', 'serial_key', 'on_failure', 'limit_keys'))
            then format('it has no field %L', (select k from jsonb_object_keys(fields) k where k not in (
                 'task', 'version', 'config', 'gather', 'name', 'queue', 'priority', 'delay', 'max_attempts', 'timeout', 'no_timeout', 'delivery', 'headers',
                 'tags', 'serial_key', 'on_failure', 'limit_keys') limit 1))
        when jsonb_typeof(fields -> 'config') not in ('object', 'null') then 'config must be an object'
        when jsonb_typeof(fields -> 'gather') not in ('boolean', 'null') then 'gather must be true or false'
        when jsonb_typeof(fields -> 'name') not in ('string', 'null') or fields ->> 'name' = '' then 'name must be text'
        when jsonb_typeof(fields -> 'version') not in ('string', 'null') or not _howdah.is_version(fields ->> 'version')
            then 'version must be one like 2.1, or a range like >=2,<3, without spaces'
        when place = 1 and (fields ->> 'gather')::boolean then 'the first one has nothing to gather'
        -- With room for #10000, where the pipeline comes more than once, and #1000.
        when length > 220 then format('its name and that of the pipeline have %s characters together, at most 220 are taken', length)
        else coalesce(_howdah.flaw(asked.task || coalesce('@' || (fields ->> 'version'), ''), null, asked.queue, asked.priority, null, asked.delay,
                                   asked.max_attempts, asked.timeout, asked.no_timeout, asked.delivery, null, asked.headers, asked.tags),
                      _howdah.keys_flaw(_howdah.step_keys(fields), null)) end;
end $$;

-- Whether a job may want this version of its task: one to four numbers, or a range of them.
create or replace function _howdah.is_version(version text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select is_version.version ~ '^[0-9]{1,9}([.][0-9]{1,9}){0,3}$'
        or is_version.version ~ '^((>=|<=|>|<|!=)[0-9]{1,9}([.][0-9]{1,9}){0,3}(,|$))+$' and is_version.version !~ ',$'
$$;

-- Starts a request: these pipelines, by their order, each with `args` for its first step. A pipeline is a name (of which the version that was put
-- last counts), name:version, or an object with name, version and, where they differ, order, args and priority. priority holds for all jobs, unless a
-- step says otherwise. Returns the id of the request, which is a workflow.
--
-- There are three for the ways in which SQL says several pipelines: start_request('report'), start_request(array['images', 'report']),
-- start_request('[…]'::jsonb). Only one of them can be called with all arguments named, and so over HTTP: PostgREST finds a function by the names of
-- arguments alone, and leaves out those that need a nameless one. `pipelines` is one name, a JSON array or object, or an array literal.
create or replace function howdah.start_request(pipelines text, args jsonb default '{}', priority int default null, name text default null) returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.start_request(_howdah.pipelines_said(start_request.pipelines), start_request.args, start_request.priority, start_request.name) $$;

create or replace function howdah.start_request(text[], args jsonb default '{}', priority int default null, name text default null) returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.start_request(to_jsonb($1), start_request.args, start_request.priority, start_request.name) $$;

create or replace function howdah.start_request(jsonb, args jsonb default '{}', priority int default null, name text default null) returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.start_request($1, start_request.args, start_request.priority, start_request.name) $$;

create or replace function _howdah.start_request(pipelines jsonb, args jsonb, priority int, name text) returns uuid
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    made   uuid := _howdah.new_id();
    asked  jsonb := _howdah.pipelines_of(made, start_request.pipelines, start_request.args);
begin
    if length(start_request.name) not between 1 and 120 then
        perform _howdah.refuse('JQ001', 'a request has a name of 1 to 120 characters, or that of its pipelines', 'Nothing was started.');
    end if;
    insert into _howdah.workflow (id, name, created_at, priority, args, is_request)
    values (made, coalesce(start_request.name, left((select string_agg(distinct a ->> 'name', ', ') from jsonb_array_elements(asked) a), 120)), _howdah.clock(),
            start_request.priority, start_request.args, true);
    perform _howdah.put_steps(made, _howdah.request_steps(made, asked), true);
    return made;
end $$;

-- What a text says of pipelines: JSON, an array literal as drivers send arrays without their type, or one name.
create or replace function _howdah.pipelines_said(said text) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return case when said ~ '^\s*\[' then said::jsonb
                when said ~ '^\s*\{\s*"([^"\\]|\\.)*"\s*:' then jsonb_build_array(said::jsonb)
                when said ~ '^\s*\{' then to_jsonb(said::text[])
                else jsonb_build_array(said) end;
exception when data_exception or program_limit_exceeded then
    perform _howdah.refuse('JQ001', 'pipelines are neither JSON nor an array', 'Write one name, ''["images:1.0", "report"]'' or ''{images,report}''. Nothing was started.');
end $$;

-- Adds pipelines to a request that runs. Refused for what comes too late: a pipeline of an order after which a greater one has begun.
create or replace function howdah.add_to_request(id uuid, pipelines jsonb, args jsonb default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    asked  jsonb;
    begun  int;
    late   record;
begin
    if _howdah.lock_workflow(add_to_request.id) <> 'x' or (select w.cancelling or not w.is_request from _howdah.workflow w where w.id = add_to_request.id) then
        perform _howdah.refuse('JQ003', format('request %s has ended, or is none', add_to_request.id), 'Nothing was added. Start another request.');
    end if;
    asked := _howdah.pipelines_of(add_to_request.id, add_to_request.pipelines, coalesce(add_to_request.args, (select w.args from _howdah.workflow w where w.id = add_to_request.id), '{}'));
    begun := (select max(s."order") from _howdah.step s where s.workflow = add_to_request.id and s."order" > 0 and s.state not in ('n', 'b'));
    select a ->> 'name' as name, (a ->> 'order')::int as "order" into late
    from jsonb_array_elements(asked) a where (a ->> 'order')::int between 1 and begun - 1 limit 1;
    if found then
        perform _howdah.refuse('JQ003', format('pipeline %s of order %s comes too late: order %s has begun', late.name, late."order", begun),
                               'Nothing was added. Give it a greater order, or start another request.');
    end if;
    update _howdah.workflow w set percent = greatest(w.percent, _howdah.workflow_percent(w.id)) where w.id = add_to_request.id;
    perform _howdah.put_steps(add_to_request.id, _howdah.request_steps(add_to_request.id, asked), false);
    -- Greater orders that have not begun wait for the new ones too.
    insert into _howdah.step_edge (parent, child, place, policy)
    select p.id, c.id, 1000000 + p.place, 'f'
    from jsonb_array_elements(asked) a
    join _howdah.step p on p.workflow = add_to_request.id and p.pipeline = a ->> 'key' and p."order" > 0
                       and not exists (select from _howdah.step n where n.workflow = p.workflow and n.pipeline = p.pipeline and n.place > p.place)
    join _howdah.step c on c.workflow = add_to_request.id
                       and c."order" = (select min(n."order") from _howdah.step n where n.workflow = add_to_request.id and n."order" > p."order")
                       and not exists (select from _howdah.step n where n.workflow = c.workflow and n.pipeline = c.pipeline and n.place < c.place)
    on conflict do nothing;
end $$;

-- What is wrong with a pipeline as it is asked for, in words; NULL when nothing is.
create or replace function _howdah.pipeline_flaw(asked jsonb) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select case
        when jsonb_typeof(asked) = 'string' then null
        when jsonb_typeof(asked) <> 'object' or jsonb_typeof(asked -> 'name') is distinct from 'string' then 'a pipeline is a name, or an object with one'
        when jsonb_typeof(asked -> 'version') not in ('string', 'null') then format('pipeline %s: its version must be text', asked ->> 'name')
        when jsonb_typeof(asked -> 'order') not in ('number', 'null') or asked ->> 'order' !~ '^[0-9]{1,9}$'
            then format('pipeline %s: its order must be a whole number, 0 or more', asked ->> 'name')
        when jsonb_typeof(asked -> 'args') not in ('object', 'null') then format('pipeline %s: its args must be an object', asked ->> 'name')
        when jsonb_typeof(asked -> 'priority') not in ('number', 'null') or asked ->> 'priority' !~ '^-?[0-9]{1,10}$'
            then format('pipeline %s: its priority must be a whole number', asked ->> 'name') end
$$;

-- The pipelines that are asked for, as they are kept: objects with name, version, order, args, priority, steps, and a key of their own, for
-- the same may come more than once: report, report#2.
create or replace function _howdah.pipelines_of(request uuid, pipelines jsonb, args jsonb) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    asked    record;
    kept     record;
    flaw     text;
    key      text;
    n        int;
    counts   jsonb := '{}';  -- how often each has come
    taken    jsonb;          -- keys that the request has already,
    names    jsonb;          -- and what a copy is not to be called
    answers  jsonb[] := '{}';
begin
    if jsonb_typeof(pipelines_of.pipelines) is distinct from 'array' or pipelines_of.pipelines = '[]'
       or jsonb_typeof(coalesce(pipelines_of.args, '{}')) <> 'object' then
        perform _howdah.refuse('JQ001', 'a request needs a list of pipelines, and a JSON object of arguments', 'For example howdah.start_request(array[''report:1.0''], ''{"day": 5}'').');
    end if;
    flaw := (select f.flaw from jsonb_array_elements(pipelines_of.pipelines) p cross join lateral _howdah.pipeline_flaw(p) f (flaw) where f.flaw is not null limit 1);
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was started.');
    end if;
    taken := (select coalesce(jsonb_object_agg(s.pipeline, true), '{}') from _howdah.step s where s.workflow = pipelines_of.request and s.pipeline is not null);
    names := (select jsonb_object_agg(coalesce(p ->> 'name', split_part(p #>> '{}', ':', 1)), true) from jsonb_array_elements(pipelines_of.pipelines) p);
    for asked in
        select case when jsonb_typeof(p) = 'string' then split_part(p #>> '{}', ':', 1) else p ->> 'name' end as name,
               case when jsonb_typeof(p) = 'string' then nullif(split_part(p #>> '{}', ':', 2), '') else p ->> 'version' end as version,
               case when jsonb_typeof(p) = 'object' then p else '{}' end as said
        from jsonb_array_elements(pipelines_of.pipelines) with ordinality e (p, place) order by e.place
    loop
        select p.name, p.version, p."order", p.steps into kept from _howdah.pipeline p
        where p.name = asked.name and (asked.version is null or p.version = asked.version) order by p.created_at desc limit 1;
        if not found then
            perform _howdah.refuse('JQ004', format('there is no pipeline %s%s', asked.name, coalesce(' of version ' || asked.version, '')),
                                   'Nothing was started. Keep it first, with howdah.put_pipeline.');
        end if;
        n := coalesce((counts ->> kept.name)::int, 0);
        loop
            n := n + 1;
            key := kept.name || case when n > 1 then '#' || n else '' end;
            exit when not taken ? key and (n = 1 or not names ? key);
        end loop;
        counts := counts || jsonb_build_object(kept.name, n);
        answers := answers || jsonb_build_object(
            'key', key, 'place', cardinality(answers), 'name', kept.name, 'version', kept.version, 'order', coalesce((asked.said ->> 'order')::int, kept."order"), 'steps', kept.steps,
            'args', coalesce(pipelines_of.args, '{}') || coalesce(nullif(asked.said -> 'args', 'null'), '{}'), 'priority', asked.said -> 'priority');
    end loop;
    return to_jsonb(answers);
end $$;

-- The steps of these pipelines in a request: in a row within each; and the first of each waits for the last of those of the order before it.
create or replace function _howdah.request_steps(request uuid, asked jsonb) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with pipe as materialized (
        select a ->> 'key' as key, (a ->> 'order')::int as "order", a -> 'steps' as steps, a -> 'args' as args, a -> 'priority' as priority, (a ->> 'place')::int as place
        from jsonb_array_elements(request_steps.asked) a
    ), step as materialized (
        select p.key, p."order", p.place as pipe_place, p.args, p.priority, e.place, f.fields,
               p.key || '/' || n.name || case when count(*) over same > 1 then '#' || row_number() over (partition by p.key, n.name order by e.place) else '' end as name,
               jsonb_array_length(p.steps) as length
        from pipe p cross join lateral jsonb_array_elements(p.steps) with ordinality e (step, place)
        cross join lateral (select case when jsonb_typeof(e.step) = 'string' then jsonb_build_object('task', e.step) else e.step end as fields) f
        cross join lateral (select coalesce(f.fields ->> 'name', f.fields ->> 'task') as name) n
        window same as (partition by p.key, n.name)
    ), last as materialized (
        select s."order", s.name from step s where s.place = s.length and s."order" > 0
        union
        select o."order", o.name from _howdah.step o
        where o.workflow = request_steps.request and o."order" > 0
          and not exists (select from _howdah.step n where n.workflow = o.workflow and n.pipeline = o.pipeline and n.place > o.place)
    ), ended as materialized (
        select l."order", jsonb_agg(l.name) as names from last l group by l."order"
    )
    select jsonb_agg(
        s.fields - '{version,config,gather,priority}'::text[]
        || jsonb_build_object('name', s.name, 'pipeline', s.key, 'order', s."order",
                              'task', (s.fields ->> 'task') || coalesce('@' || (s.fields ->> 'version'), ''),
                              'args', case when s.place = 1 then s.args else '{}' end || case when jsonb_typeof(s.fields -> 'config') = 'object'
                                                                                           then jsonb_build_object('config', s.fields -> 'config') else '{}' end)
        || case when coalesce(nullif(s.fields -> 'priority', 'null'), nullif(s.priority, 'null')) is null then '{}'
                else jsonb_build_object('priority', coalesce(nullif(s.fields -> 'priority', 'null'), s.priority)) end
        || case when s.place > 1 then jsonb_build_object('each', jsonb_build_object('pipeline', true, 'step', b.name)
                                                                  || case when (s.fields ->> 'gather')::boolean then jsonb_build_object('gather', b.name, 'as', 'items') else '{}' end)
                when s."order" > 0 then jsonb_build_object('after',
                    coalesce((select e.names from ended e where e."order" < s."order" order by e."order" desc limit 1), '[]'))
                else '{}' end
        order by s."order", s.pipe_place, s.place)
    from step s left join step b on b.key = s.key and b.place = s.place - 1
$$;
