-- Workflows go on. Whoever ends a job of one writes down how (end_members), and leaves a note; advance, under the lock of the workflow's row and in
-- a snapshot that is younger, adds up, ends steps, lets in those that have nothing left to wait for, and ends the workflow. A step changes its
-- state only here, so nothing starts twice, and what two end at the same instant is seen by whoever comes second.

-- Writes down how jobs of workflows have ended.
create or replace function _howdah.end_members(ids uuid[], state "char", results jsonb[], errors text[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
    with ended as (
        update _howdah.member m
        set state = end_members.state, result = e.result,
            error = case when end_members.state <> 'S' then left(regexp_replace(e.error, '^.*\n', ''), 500) end
        from unnest(end_members.ids, end_members.results, end_members.errors) e (id, result, error)
        where m.job_id = e.id returning m.step
    ), counted as (
        select e.step, count(*) as n from ended e group by e.step
    ), told as (
        insert into _howdah.tally (workflow, step, state, n)
        select s.workflow, c.step, end_members.state, c.n from counted c join _howdah.step s on s.id = c.step returning workflow
    )
    insert into _howdah.pending (kind, key) select 'w', t.workflow::text from told t group by t.workflow;
end $$;

-- Advances these workflows, a bounded part of each; returns how many jobs became ready. One that cannot go on says why (in howdah.workflows), is tried
-- again seconds later, and stops no other.
create or replace function _howdah.advance(workflows uuid[]) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    flow     uuid;
    stuck    text;
    said     text;
    is_late  boolean := false;
    ready    int := 0;
begin
    if current_setting('transaction_isolation') <> 'read committed' then  -- its snapshot is older than the lock
        perform _howdah.note('w', advance.workflows::text[]);
        return 0;
    end if;
    foreach flow in array array(select f from unnest(advance.workflows) f order by f) loop
        select w.error into stuck from _howdah.workflow w where w.id = flow for update skip locked;
        if found then
            begin
                ready := ready + _howdah.advance_one(flow);
                said := null;
            exception
                when lock_not_available or deadlock_detected then
                    said := stuck;
                    perform _howdah.note_later('w', array[flow::text]);
                when query_canceled or others then
                    get stacked diagnostics said = message_text;
                    is_late := sqlstate = '57014';  -- whoever calls waits no longer: the others are for the next look
                    said := left(case when is_late then 'it takes too long: ' else '' end || regexp_replace(said, '[[:space:]]+', ' ', 'g'), 500);
                    insert into _howdah.pending (kind, key, due) values ('w', flow::text, _howdah.clock() + interval '5 s');
            end;
            if said is distinct from stuck then
                update _howdah.workflow w set error = said where w.id = flow;
            end if;
            if is_late then
                perform _howdah.note('w', array(select f::text from unnest(advance.workflows) f where f > flow));
                exit;
            end if;
        elsif exists (select from _howdah.workflow w where w.id = flow) then
            perform _howdah.note_later('w', array[flow::text]);
        end if;
    end loop;
    return ready;
end $$;

create or replace function _howdah.advance_one(flow uuid) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
declare
    ended  int;
    moved  int := 0;
    ready  int;
begin
    perform _howdah.add_up(flow);
    loop
        update _howdah.step s
        set state = case when s.verdict is not null then s.verdict when s.failed > 0 then 'F' when s.cancelled > 0 then 'C' else 'S' end,
            closing = true, finished_at = _howdah.clock()
        where s.workflow = flow and s.state = 'o' and s.opened >= s.total and s.succeeded + s.failed + s.cancelled >= s.total;
        get diagnostics ended = row_count;
        moved := moved + ended;
        exit when not _howdah.close_step_edges(flow) and ended = 0;
        exit when moved > 2000;
    end loop;
    ready := _howdah.open_members(flow);
    if exists (select from _howdah.step s where s.workflow = flow and s.state = 'o' and s.opened < s.total)
       or exists (select from _howdah.step s where s.workflow = flow and s.closing)
       or exists (select from _howdah.step s where s.workflow = flow and s.state = 'o' and s.opened >= s.total and s.succeeded + s.failed + s.cancelled >= s.total)
    then
        perform _howdah.note('w', array[flow::text]);
    elsif not exists (select from _howdah.step s where s.workflow = flow and s.state in ('n', 'b', 'o')) then
        perform _howdah.end_workflow(flow);
    end if;
    return ready;
end $$;

-- Adds up what was written down.
create or replace function _howdah.add_up(flow uuid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    with taken as (
        delete from _howdah.tally t where t.workflow = flow returning t.step, t.state, t.n
    ), summed as (
        select t.step, coalesce(sum(t.n) filter (where t.state = 'S'), 0) as good, coalesce(sum(t.n) filter (where t.state = 'F'), 0) as bad,
               coalesce(sum(t.n) filter (where t.state = 'C'), 0) as cancelled
        from taken t group by t.step)
    update _howdah.step s
    set succeeded = s.succeeded + u.good, failed = s.failed + u.bad, cancelled = s.cancelled + u.cancelled
    from summed u where s.id = u.step;
end $$;

-- Tells those who wait for steps that have ended, and judges them, at most 2,000 at a time; whether there were any.
create or replace function _howdah.close_step_edges(flow uuid) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    fresh    uuid[] := array(select s.id from _howdah.step s where s.workflow = flow and s.state = 'n');
    touched  uuid[];
begin
    with due as materialized (
        (select e.parent, e.child, p.state
         from _howdah.step p
         cross join lateral (select o.parent, o.child from _howdah.step_edge o where o.parent = p.id and o.state is null limit 2000) e
         where p.workflow = flow and p.closing limit 2000)
        union
        select e.parent, e.child, p.state
        from unnest(fresh) f (id) join _howdah.step_edge e on e.child = f.id and e.state is null
        join _howdah.step p on p.id = e.parent and p.state in ('S', 'F', 'C')
    ), closed as (
        update _howdah.step_edge e set state = d.state from due d where e.child = d.child and e.parent = d.parent returning e.child
    )
    select array_agg(distinct t.id) into touched from (select c.child as id from closed c union all select unnest(fresh)) t;
    update _howdah.step s set closing = false
    where s.workflow = flow and s.closing and not exists (select from _howdah.step_edge e where e.parent = s.id and e.state is null);
    if touched is null then
        return false;
    end if;
    update _howdah.step s set state = 'b' where s.id = any (fresh);
    perform _howdah.judge_steps(flow, touched);
    return true;
end $$;

-- Steps of which a parent ended badly end too, without running; those that wait for nobody any more are open.
create or replace function _howdah.judge_steps(flow uuid, steps uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    moment    timestamptz := _howdah.clock();
    unwanted  boolean := (select w.cancelling from _howdah.workflow w where w.id = flow);
    made      uuid;
begin
    update _howdah.step s set state = 'o', verdict = b.verdict, error = b.error
    from (select distinct on (e.child) e.child, case when unwanted or e.policy = 'c' then 'C' else e.state end as verdict,
                 format('step %s, for which it waited, %s', p.name, case e.state when 'F' then 'failed' else 'was cancelled' end) as error
          from _howdah.step_edge e join _howdah.step p on p.id = e.parent
          where e.child = any (judge_steps.steps) and e.state <> 'S' and e.policy <> 'i'
          order by e.child, e.state desc, e.place) b
    where s.id = b.child and s.state = 'b';
    with free as (
        update _howdah.step s set state = 'o', started_at = moment, verdict = case when unwanted then 'C' end
        where s.id = any (judge_steps.steps) and s.state = 'b'
          and (select true from _howdah.step_edge e where e.child = s.id and e.state is null order by e.place desc limit 1) is null
        returning s.id, s.refs, s.each, s.verdict)
    select array_agg(f.id) into steps from free f where f.verdict is null and (f.refs is not null or f.each is not null);
    foreach made in array coalesce(judge_steps.steps, '{}') loop
        perform _howdah.make_step(flow, made);
    end loop;
end $$;

-- Lets in jobs of open steps, about 2,000 at a time; of those that are not to run, ends them. How many became ready.
create or replace function _howdah.open_members(flow uuid) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    looked  uuid[];
    picked  record;
    large   record;
begin
    looked := array(
        select s.id from (
            select o.id, o.place, sum(o.total - o.opened) over (order by o.place) - (o.total - o.opened) as before
            from (select u.id, u.place, u.total, u.opened from _howdah.step u
                  where u.workflow = flow and u.state = 'o' and u.opened < u.total order by u.place limit 2000) o) s
        where s.before < 2000);
    if looked = '{}' then
        return 0;
    end if;
    -- All that were looked at count, also those that wait no longer: they are not looked at again.
    select array_agg(m.job_id order by s.place, m.place) filter (where j.state = 'w' and s.verdict is null) as ids,
           array_agg(coalesce(j.run_at, moment + (s.job ->> 'delay')::interval) order by s.place, m.place) filter (where j.state = 'w' and s.verdict is null) as times,
           array_agg(m.job_id) filter (where j.state = 'w' and s.verdict is null and s.filled is not null) as to_fill,
           array_agg(m.job_id) filter (where j.state = 'w' and s.verdict = 'F') as failed, array_agg(s.error) filter (where j.state = 'w' and s.verdict = 'F') as failed_errors,
           array_agg(m.job_id) filter (where j.state = 'w' and s.verdict = 'C') as cancelled,
           array_agg(coalesce(s.error, 'its workflow was cancelled')) filter (where j.state = 'w' and s.verdict = 'C') as cancelled_errors,
           array_agg(m.step) as steps, array_agg(m.place) as places
    into picked
    from _howdah.step s
    cross join lateral (select o.job_id, o.step, o.place from _howdah.member o
                        where o.step = s.id and o.place > s.opened and o.state is null order by o.place limit 2000) m
    left join lateral (select h.state, h.run_at from _howdah.job h where h.id = m.job_id limit 1) j on true  -- by id alone: see edges.sql
    where s.id = any (looked);

    update _howdah.step s
    set opened = coalesce((select m.place - 1 from _howdah.member m
                           where m.step = s.id and m.state is null
                             and m.place > coalesce((select max(p.place) from unnest(picked.steps, picked.places) p (step, place) where p.step = s.id), s.total)
                           order by m.place limit 1), s.total)
    where s.id = any (looked);
    if picked.to_fill is not null then
        select array_agg(j.id) as ids, array_agg(format('its arguments would have %s bytes, at most 1 MiB is taken', pg_column_size(j.args || s.filled))) as errors
        into large
        from unnest(picked.to_fill) f (id) join _howdah.job j on j.id = f.id join _howdah.member m on m.job_id = f.id join _howdah.step s on s.id = m.step
        where pg_column_size(j.args || s.filled) > 1048576;
        update _howdah.job j set args = j.args || s.filled
        from _howdah.member m join _howdah.step s on s.id = m.step
        where j.id = any (picked.to_fill) and j.id <> all (coalesce(large.ids, '{}')) and m.job_id = j.id;
        if large.ids is not null then
            perform _howdah.settle(large.ids, null, 'F', null, large.errors);
        end if;
    end if;
    perform _howdah.settle(picked.failed, null, 'F', null, picked.failed_errors) where picked.failed is not null;
    perform _howdah.settle(picked.cancelled, null, 'C', null, picked.cancelled_errors) where picked.cancelled is not null;
    return case when picked.ids is null then 0 else cardinality(_howdah.make_ready(picked.ids, null, picked.times)) end;
end $$;

-- What an argument is made of: the result of a step, or of all its jobs; NULL if that is larger than `most` bytes. What is made of many is measured
-- before it is put together, for there is a size that no JSON value can have: as large as it is (hence #>), and not as it is stored.
create or replace function _howdah.ref_value(flow uuid, ref jsonb, most bigint) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    path    text[] := case when ref ? 'outcomes' then '{}' else array(select jsonb_array_elements_text(nullif(ref -> 'path', 'null'))) end;
    source  record;
    value   jsonb;
begin
    select s.id, ref ?| '{gather,outcomes}' or s.each is not null or s.total <> 1 as is_many into source from _howdah.step s
    where s.workflow = flow and s.name = coalesce(ref ->> 'step', ref ->> 'gather', ref ->> 'outcomes');
    if not source.is_many then
        value := coalesce((select m.result #> path from _howdah.member m where m.step = source.id), 'null');
        return case when pg_column_size(value) <= most then value end;
    elsif (select sum(pg_column_size(m.result #> path) - 8 + case when ref ? 'outcomes' then coalesce(octet_length(m.error), 0) else 0 end)
           from _howdah.member m where m.step = source.id) > most then
        return null;
    elsif ref ? 'outcomes' then
        return (select coalesce(jsonb_agg(jsonb_build_object('state', _howdah.state_name(m.state), 'result', m.result, 'error', m.error) order by m.place), '[]')
                from _howdah.member m where m.step = source.id);
    end if;
    return (select coalesce(jsonb_agg(case when m.state = 'S' then m.result #> path end order by m.place), '[]') from _howdah.member m where m.step = source.id);
end $$;

-- What the jobs of a step are made of, if there is one for each: a list, or what the step is failed for; NULL if that is too large to be made at once.
create or replace function _howdah.each_value(flow uuid, source jsonb) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    before  uuid;
begin
    if not source ? 'pipeline' then
        return _howdah.ref_value(flow, source, 200000000);
    elsif source ? 'gather' then
        return (select jsonb_build_array(v.value) from _howdah.ref_value(flow, source, 1048576) v (value) where v.value is not null);
    end if;
    -- What each job before returned, or of a list each element.
    select s.id into before from _howdah.step s where s.workflow = flow and s.name = source ->> 'step';
    return case when coalesce((select sum(pg_column_size(m.result #> '{}')) from _howdah.member m where m.step = before and m.state = 'S'), 0) <= 200000000 then (
        select coalesce(jsonb_agg(e.value order by m.place, e.place), '[]')
        from _howdah.member m
        cross join lateral (
            select a.value, a.place from jsonb_array_elements(case when jsonb_typeof(m.result) = 'array' then m.result end) with ordinality a (value, place)
            union all
            select coalesce(m.result, 'null'), 1 where jsonb_typeof(m.result) is distinct from 'array') e
        where m.step = before and m.state = 'S') end;
end $$;

-- Makes what an open step needs of results: the arguments that its jobs get beside their own, and the jobs themselves where there is one for
-- each element of a list. What cannot be made fails the step.
create or replace function _howdah.make_step(flow uuid, id uuid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    step   record;
    made   jsonb;
    list   jsonb;
    base   jsonb;
    given  jsonb[];
    flaw   text;
begin
    select s.refs, s.each, s.job, s.name, s.total into step from _howdah.step s where s.id = make_step.id;
    if step.each is not null and step.total > 0 then  -- it was made before, and is tried again
        return;
    end if;
    with part as materialized (select r.key, _howdah.ref_value(flow, r.value, 1048576) as value from jsonb_each(step.refs) r)
    select case when not exists (select from part p where p.value is null)
                 and coalesce((select sum(pg_column_size(p.value) - 8) from part p), 0) <= 1048576
                then (select coalesce(jsonb_object_agg(p.key, p.value), '{}') from part p) end into made;
    flaw := case when made is null then 'its arguments would be larger than 1 MiB' else 'its arguments: ' || _howdah.args_flaw(made) end;
    if flaw is null and step.each is null then
        update _howdah.step s set filled = made where s.id = make_step.id;
        return;
    elsif flaw is null then
        base := coalesce(nullif(step.job -> 'args', 'null'), '{}') || made;
        list := _howdah.each_value(flow, step.each);
        flaw := case when list is null then 'the arguments of its jobs would be too large'
                     when jsonb_typeof(list) <> 'array' then format('the result of step %s is no list, but %s', step.each ->> 'step', jsonb_typeof(list))
                     when jsonb_array_length(list)::bigint * pg_column_size(base) > 200000000 then 'the arguments of its jobs would be larger than 200 MB' end;
    end if;
    if flaw is null then
        given := array(
            select case when step.each ? 'pipeline' and jsonb_typeof(e.value) = 'null' then base
                        when step.each ? 'pipeline' and jsonb_typeof(e.value) = 'object' then e.value || base
                        else base || jsonb_build_object(coalesce(step.each ->> 'as', 'item'), e.value) end
            from jsonb_array_elements(list) with ordinality e (value, place) order by e.place);
        flaw := (select 'the arguments of one of its jobs: ' || _howdah.args_flaw(a) from unnest(given) a where _howdah.args_flaw(a) is not null limit 1);
    end if;
    if flaw is not null then
        update _howdah.step s set verdict = 'F', error = flaw where s.id = make_step.id;
        return;
    end if;
    update _howdah.step s
    set total = cardinality(given), opened = case when _howdah.is_plain(s.job) then cardinality(given) else 0 end where s.id = make_step.id;
    perform _howdah.put_members(flow, array(
        select row(make_step.id, 'o', a.args, a.place)::_howdah.new_member from unnest(given) with ordinality a (args, place) order by a.place));
end $$;

-- Every step has ended: so has the workflow. A step that did not succeed counts, unless there are others after it that all ignore that.
create or replace function _howdah.end_workflow(flow uuid) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    worst  "char" := (
        select max(s.state::text) from _howdah.step s
        where s.workflow = flow and s.state in ('F', 'C')
          and (not exists (select from _howdah.step_edge e where e.parent = s.id)
               or exists (select from _howdah.step_edge e where e.parent = s.id and e.policy <> 'i')));
    last   uuid[] := array(
        select s.id from _howdah.step s
        where s.workflow = flow and not exists (select from _howdah.step_edge e where e.parent = s.id) order by s.place limit 101);
    found  jsonb;
begin
    if cardinality(last) = 1 then
        select _howdah.ref_value(flow, jsonb_build_object('step', s.name), 1048576) into found from _howdah.step s where s.id = last[1];
    elsif cardinality(last) <= 100 then
        with part as materialized (
            select s.name, _howdah.ref_value(flow, jsonb_build_object('step', s.name), 1048576) as value from _howdah.step s where s.id = any (last))
        select case when not exists (select from part p where p.value is null) then (select jsonb_object_agg(p.name, p.value) from part p) end into found;
    end if;
    update _howdah.workflow w
    set state = case when w.cancelling then 'C' else coalesce(worst, 'S') end, finished_at = _howdah.clock(),
        result = case when pg_column_size(found) <= 1048576 then nullif(found, 'null') end
    where w.id = flow and w.state = 'x';
end $$;
