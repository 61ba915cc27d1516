-- Starts a workflow in the caller's transaction and returns its id. steps is a JSON array of objects, parents before their children:
--   name     of the step, and task and all else that howdah.enqueue_json knows of a job (no id, no unique key); a delay counts from when the
--            step is let in
--   after    names of steps that have to end first, or {"name": what if it does not succeed: "fail", "skip" or "ignore"}
--   refs     {"argument": {"step": "charge", "path": ["amount"]}}: the result of a step, or a part of it; {"gather": "step"}: the results of
--            all its jobs, in order, NULL for those that did not succeed; {"outcomes": "step"}: the same with their states and errors
--   each     many jobs: a list of arguments, each an object, or {"step": "list", "path": […], "as": "item"}: one job for each element of a result
-- The workflow fails if a step does and that is not ignored. Its result is that of its last step, or of each of them by name.
create or replace function howdah.start_workflow(name text, steps jsonb, priority int default null) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    made  uuid := _howdah.new_id();
begin
    if start_workflow.name is null or length(start_workflow.name) not between 1 and 120 then
        perform _howdah.refuse('JQ001', 'a workflow needs a name of 1 to 120 characters', 'For example howdah.start_workflow(''order'', ''[…]'').');
    end if;
    if jsonb_typeof(start_workflow.steps) is distinct from 'array' or start_workflow.steps = '[]' then
        perform _howdah.refuse('JQ001', 'a workflow needs steps', 'Give a JSON array of objects with name and task.');
    end if;
    insert into _howdah.workflow (id, name, created_at, priority) values (made, start_workflow.name, _howdah.clock(), start_workflow.priority);
    perform _howdah.put_steps(made, start_workflow.steps, true);
    return made;
end $$;

-- What is wrong with the steps of a workflow, in words; NULL when nothing is.
create or replace function _howdah.steps_flaw(workflow uuid, steps jsonb) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    flaw  text;
begin
    if exists (select from jsonb_array_elements(steps) s where jsonb_typeof(s) <> 'object') then
        return 'a step must be a JSON object';
    end if;
    select case
        when jsonb_typeof(s.step -> 'name') is distinct from 'string' or length(s.step ->> 'name') not between 1 and s.longest then format('step %s needs a name of 1 to %s characters', s.place, s.longest)
        when s.step ?| array['id', 'unique_key', 'collapse', 'unique_per', 'unique_while', 'unique_for', 'on_conflict', 'earlier']
            then format('step %L: the jobs of a workflow have no id and no unique key of their own', s.step ->> 'name')
        when jsonb_typeof(s.step -> 'after') not in ('array', 'object', 'null') then format('step %L: after must be a list of names, or an object', s.step ->> 'name')
        when s.step ? 'each' and jsonb_typeof(s.step -> 'each') not in ('array', 'object') then format('step %L: each must be a list of arguments, or say of which result', s.step ->> 'name')
        when s.step ? 'refs' and jsonb_typeof(s.step -> 'refs') not in ('object', 'null') then format('step %L: refs must be an object', s.step ->> 'name')
        end into flaw
    from (select e.step, e.place, case when e.step ? 'pipeline' then 240 else 120 end as longest from jsonb_array_elements(steps) with ordinality e (step, place)) s
    where jsonb_typeof(s.step -> 'name') is distinct from 'string' or length(s.step ->> 'name') not between 1 and s.longest
       or s.step ?| array['id', 'unique_key', 'collapse', 'unique_per', 'unique_while', 'unique_for', 'on_conflict', 'earlier']
       or jsonb_typeof(s.step -> 'after') not in ('array', 'object', 'null')
       or s.step ? 'each' and jsonb_typeof(s.step -> 'each') not in ('array', 'object')
       or s.step ? 'refs' and jsonb_typeof(s.step -> 'refs') not in ('object', 'null')
    limit 1;
    if flaw is not null then
        return flaw;
    end if;
    select format('two steps are named %L', s ->> 'name') into flaw from jsonb_array_elements(steps) s group by s ->> 'name' having count(*) > 1 limit 1;
    if flaw is not null then
        return flaw;
    end if;
    select format('step %L: %s', s.step ->> 'name', f.flaw) into flaw
    from jsonb_array_elements(steps) s (step) cross join lateral _howdah.step_flaw(s.step) f (flaw) where f.flaw is not null limit 1;
    if flaw is not null then
        return flaw;
    end if;
    select format('step %L: %s', s.step ->> 'name', case when jsonb_typeof(e.value) <> 'object' then 'each must be a list of objects, the arguments of each job'
                                                          else _howdah.args_flaw(s.args || e.value) end) into flaw
    from (select a.step, coalesce(nullif(a.step -> 'args', 'null'), '{}') as args from jsonb_array_elements(steps) a (step)
          where jsonb_typeof(a.step -> 'each') = 'array') s
    cross join lateral jsonb_array_elements(s.step -> 'each') e (value)
    where jsonb_typeof(e.value) <> 'object' or _howdah.args_flaw(s.args || e.value) is not null limit 1;
    if flaw is not null then
        return flaw;
    end if;
    with named as materialized (
        select s.step ->> 'name' as name, s.place from jsonb_array_elements(steps) with ordinality s (step, place)
    ), wanted as materialized (
        select s.step ->> 'name' as child, s.place, w.parent, w.policy
        from jsonb_array_elements(steps) with ordinality s (step, place)
        cross join lateral _howdah.parents_of(s.step) w
    )
    select case when w.policy not in ('fail', 'skip', 'ignore') then format('step %L: %L is none of fail, skip and ignore', w.child, w.policy)
                when n.name is null then format('step %L: there is no step %L', w.child, w.parent)
                else format('step %L waits for %L, which does not come before it', w.child, w.parent) end into flaw
    from wanted w left join named n on n.name = w.parent
    where w.policy not in ('fail', 'skip', 'ignore') or n.place >= w.place
       or n.name is null and not exists (select from _howdah.step o where o.workflow = steps_flaw.workflow and o.name = w.parent)
    limit 1;
    return flaw;
end $$;

-- What is wrong with a step by itself, in words; NULL when nothing is. Its jobs may be made much later, when there is nobody left to tell.
create or replace function _howdah.step_flaw(step jsonb) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    fields  jsonb := step - '{name,after,refs,each,pipeline,order}'::text[];
    asked   howdah.new_job;
    flaw    text;
begin
    begin
        asked := jsonb_populate_record(null::howdah.new_job, fields);
    exception when data_exception then
        get stacked diagnostics flaw = message_text;
        return flaw;
    end;
    if step ? 'refs' and step -> 'refs' <> 'null' then
        flaw := (select format('what argument %L is made of: %s', r.key, f.flaw)
                 from jsonb_each(step -> 'refs') r cross join lateral _howdah.ref_flaw(r.value, '{step,gather,outcomes}') f (flaw) where f.flaw is not null limit 1);
    end if;
    return coalesce(
        flaw,
        case when jsonb_typeof(step -> 'each') = 'object' then 'each: ' || _howdah.ref_flaw(step -> 'each', '{step}')
             when step ? 'order' and step ->> 'order' !~ '^[0-9]{1,9}$' then 'order must be a whole number, 0 or more' end,
        (select format('a job has no field %L', k) from jsonb_object_keys(fields) k
         where k not in ('task', 'args', 'queue', 'priority', 'run_at', 'delay', 'max_attempts', 'timeout', 'no_timeout', 'delivery',
                         'headers', 'tags', 'serial_key', 'on_failure', 'limit_keys') limit 1),
        _howdah.flaw(asked.task, asked.args, asked.queue, asked.priority, asked.run_at, asked.delay, asked.max_attempts, asked.timeout, asked.no_timeout,
                     asked.delivery, null, asked.headers, asked.tags),
        _howdah.keys_flaw(_howdah.step_keys(fields), null));
end $$;

-- What is wrong with {"step": …, "path": […]}.
create or replace function _howdah.ref_flaw(ref jsonb, kinds text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select case
        when jsonb_typeof(ref) <> 'object' or (select count(*) from unnest(kinds) k where jsonb_typeof(ref -> k) = 'string') <> 1
            then format('it must be an object with %s, the name of a step', array_to_string(kinds, ' or '))
        when jsonb_typeof(ref -> 'path') not in ('array', 'null')
             or exists (select from jsonb_array_elements(case when jsonb_typeof(ref -> 'path') = 'array' then ref -> 'path' end) p where jsonb_typeof(p) not in ('string', 'number'))
            then 'a path is a list of names and places' end
$$;

-- Whom a step waits for: those it names, and those of whose results its arguments are made.
create or replace function _howdah.parents_of(step jsonb) returns table (parent text, policy text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select distinct on (p.parent) p.parent, p.policy from (
        select a.parent, 'fail' as policy, 1 as turn from jsonb_array_elements_text(case when jsonb_typeof(parents_of.step -> 'after') = 'array' then parents_of.step -> 'after' end) a (parent)
        union all
        select a.key, coalesce(a.value, ''), 1 from jsonb_each_text(case when jsonb_typeof(parents_of.step -> 'after') = 'object' then parents_of.step -> 'after' end) a
        union all
        select coalesce(r.value ->> 'step', r.value ->> 'gather', r.value ->> 'outcomes', ''), 'fail', 2
        from jsonb_each(case when jsonb_typeof(parents_of.step -> 'refs') = 'object' then parents_of.step -> 'refs' end) r
        union all
        select coalesce(parents_of.step -> 'each' ->> 'step', ''), 'fail', 2 where jsonb_typeof(parents_of.step -> 'each') = 'object'
    ) p where p.parent is not null order by p.parent, p.turn
$$;

-- Stores steps, and their jobs: those of steps that wait for nothing are ready at once, if `at_once`. Returns the ids of the steps.
create or replace function _howdah.put_steps(workflow uuid, steps jsonb, at_once boolean) returns uuid[]
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    flaw    text := _howdah.steps_flaw(put_steps.workflow, put_steps.steps);
    moment  timestamptz := _howdah.clock();
    base    int := coalesce((select max(s.place) from _howdah.step s where s.workflow = put_steps.workflow), 0);
    made    uuid[];
begin
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was stored. Correct this and start it again.');
    end if;
    with put as (
        insert into _howdah.step (id, workflow, name, place, state, total, opened, job, refs, each, started_at, pipeline, "order")
        select _howdah.new_id(), put_steps.workflow, s.step ->> 'name', base + s.place,
               case when s.is_free then 'o' when put_steps.at_once then 'b' else 'n' end::"char", s.n,
               case when s.is_free and s.is_plain then s.n else 0 end,
               s.step - '{name,after,refs,each,pipeline,order}'::text[], nullif(s.step -> 'refs', 'null'),
               case when jsonb_typeof(s.step -> 'each') = 'object' then s.step -> 'each' end, case when s.is_free then moment end,
               s.step ->> 'pipeline', (s.step ->> 'order')::int
        from (select e.step, e.place, put_steps.at_once and not exists (select from _howdah.parents_of(e.step)) as is_free,
                     case when not e.step ? 'each' then 1 when jsonb_typeof(e.step -> 'each') = 'array' then jsonb_array_length(e.step -> 'each') else 0 end as n,
                     _howdah.is_plain(e.step) as is_plain
              from jsonb_array_elements(put_steps.steps) with ordinality e (step, place)) s
        order by s.place
        on conflict (workflow, name) do nothing  -- grown once before
        returning id, name)
    select array_agg(p.id) into made from put p;
    insert into _howdah.step_edge (parent, child, place, policy)
    select p.id, c.id, row_number() over (partition by c.id order by p.place),
           case w.policy when 'fail' then 'f' when 'skip' then 'c' else 'i' end::"char"
    from jsonb_array_elements(put_steps.steps) s (step)
    join _howdah.step c on c.workflow = put_steps.workflow and c.name = s.step ->> 'name' and c.id = any (made)
    cross join lateral _howdah.parents_of(s.step) w
    join _howdah.step p on p.workflow = put_steps.workflow and p.name = w.parent;
    perform _howdah.put_members(put_steps.workflow, array(
        select row(c.id, c.state, e.value, e.place)::_howdah.new_member
        from jsonb_array_elements(put_steps.steps) s (step)
        join _howdah.step c on c.workflow = put_steps.workflow and c.name = s.step ->> 'name' and c.id = any (made) and c.each is null
        cross join lateral (
            select coalesce(nullif(s.step -> 'args', 'null'), '{}') as value, 1 as place where not s.step ? 'each'
            union all
            select coalesce(nullif(s.step -> 'args', 'null'), '{}') || a.value, a.place::int
            from jsonb_array_elements(case when jsonb_typeof(s.step -> 'each') = 'array' then s.step -> 'each' end) with ordinality a (value, place)) e
        order by c.place, e.place));
    perform _howdah.note('w', array[put_steps.workflow::text])
    where exists (select from _howdah.step s where s.workflow = put_steps.workflow
                  and (s.state = 'n' or s.state = 'o' and (s.opened < s.total or s.total = 0)));
    return made;
end $$;

-- Whether the jobs of a step have no keys: those are stored all at once.
create or replace function _howdah.is_plain(step jsonb) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    select not is_plain.step ?| array['serial_key', 'limit_keys', 'on_failure'] and not _howdah.is_keyed(is_plain.step ->> 'task', is_plain.step ->> 'queue')
$$;

-- Stores the jobs of steps; those of open ones, if they have no keys, ready at once.
create or replace function _howdah.put_members(workflow uuid, members _howdah.new_member[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    shape   record;
    many    howdah.new_job[];
    ids     uuid[];
begin
    perform pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    with wanted as materialized (
        select m.step, m.state, m.args, m.place, m.ordinal, s.job, s.is_plain
        from unnest(put_members.members) with ordinality m (step, state, args, place, ordinal)
        join (select d.step, o.job, _howdah.is_plain(o.job) as is_plain
              from (select distinct u.step from unnest(put_members.members) u) d join _howdah.step o on o.id = d.step) s on s.step = m.step
        where s.is_plain
    ), shaped as materialized (
        select d.step, t.queue, t.priority, t.max_attempts, t.timeout_ms, t.delivery, d.asked
        from (select w.step, jsonb_populate_record(null::howdah.new_job, w.job - 'version') as asked
              from (select distinct on (w.step) w.step, w.job from wanted w) w) d
        left join _howdah.task t on t.name = (d.asked).task
    ), drawn as materialized (
        select w.step, w.state, w.args, w.place, _howdah.new_id() as id, nextval('_howdah.seq') as seq
        from (select o.* from wanted o order by o.ordinal) w
    ), stored as (
        insert into _howdah.job
            (seq, created_at, run_at, timeout_ms, priority, max_attempts, id, state, delivery, queue, task, args, headers, tags, hooks)
        select d.seq, moment, coalesce((h.asked).run_at, case when d.state = 'o' then moment + (h.asked).delay end),
               case when (h.asked).no_timeout then 0 else coalesce(_howdah.to_ms((h.asked).timeout), h.timeout_ms) end,
               coalesce((h.asked).priority, f.priority, h.priority, 0), coalesce((h.asked).max_attempts, h.max_attempts), d.id,
               case when d.state <> 'o' then 'w' when coalesce((h.asked).run_at, moment + (h.asked).delay) > moment then 's' else 'r' end::"char",
               case when (h.asked).delivery is null then h.delivery else _howdah.delivery_code((h.asked).delivery) end,
               coalesce((h.asked).queue, h.queue, 'default'), (h.asked).task, d.args, (h.asked).headers, (h.asked).tags, 32
        from drawn d join shaped h on h.step = d.step cross join (select w.priority from _howdah.workflow w where w.id = put_members.workflow) f
        order by d.seq
    ), noted as (
        insert into _howdah.member (job_id, step, place) select d.id, d.step, d.place from drawn d order by d.seq
    )
    select array_agg(d.id) filter (where d.state = 'o') into ids from drawn d;

    for shape in
        select m.step, s.job as fields, jsonb_populate_record(null::howdah.new_job, s.job - 'version') as asked, m.args, m.places
        from (select u.step, array_agg(u.args order by u.place) as args, array_agg(u.place order by u.place) as places
              from unnest(put_members.members) u group by u.step) m
        join _howdah.step s on s.id = m.step where not _howdah.is_plain(s.job) order by s.place
    loop
        many := array(
            select row((shape.asked).task, a, (shape.asked).queue,
                       coalesce((shape.asked).priority, (select w.priority from _howdah.workflow w where w.id = put_members.workflow)),
                       (shape.asked).run_at, null, (shape.asked).max_attempts, (shape.asked).timeout, (shape.asked).no_timeout, (shape.asked).delivery,
                       null, null, (shape.asked).headers, (shape.asked).tags)::howdah.new_job
            from unnest(shape.args) with ordinality u (a, place) order by u.place);
        insert into _howdah.member (job_id, step, place)
        select p.id, shape.step, shape.places[p.ordinal]
        from _howdah.put_keyed(many, array_fill(_howdah.step_keys(shape.fields) || '{"member": true, "on_conflict": "raise"}', array[cardinality(many)])) p;
    end loop;

    if ids is not null and _howdah.anybody_idle() then
        perform _howdah.wake(j.queue, j.task, j.n)
        from (select j.queue, j.task, count(*) as n from _howdah.job j where j.id = any (ids) and j.state = 'r' group by j.queue, j.task) j;
    end if;
end $$;

create or replace function _howdah.step_keys(job jsonb) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select jsonb_strip_nulls(jsonb_build_object('serial_key', job -> 'serial_key', 'on_failure', job -> 'on_failure', 'limit_keys', job -> 'limit_keys'))
$$;
