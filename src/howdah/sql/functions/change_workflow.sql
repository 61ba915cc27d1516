-- What can be done to a workflow: cancel it, try it again, rank it. All of it under the lock of its row, as when it goes on.

create or replace function _howdah.lock_workflow(id uuid) returns "char"
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    state  "char";
begin
    select w.state into state from _howdah.workflow w where w.id = lock_workflow.id for update;
    if not found then
        perform _howdah.refuse('JQ004', format('there is no workflow %s', lock_workflow.id), 'It never was, or has left history: see howdah.workflows.');
    end if;
    return state;
end $$;

-- Locks workflows, in one order whoever comes, and keeps how far they are: what is added or tried again does not set them back.
create or replace function _howdah.hold_workflows(ids uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    perform from _howdah.workflow w where w.id = any (hold_workflows.ids) order by w.id for update;
    update _howdah.workflow w set percent = greatest(w.percent, _howdah.workflow_percent(w.id)) where w.id = any (hold_workflows.ids);
end $$;

-- Cancels a workflow: what waits ends cancelled, the workers of what runs are asked to stop it, and later steps never start. False if it has ended.
create or replace function howdah.cancel_workflow(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    open_ones  uuid[];
begin
    if _howdah.lock_workflow(cancel_workflow.id) <> 'x' then
        return false;
    end if;
    update _howdah.workflow w set cancelling = true where w.id = cancel_workflow.id;
    perform _howdah.add_up(cancel_workflow.id);
    loop
        open_ones := array(select m.job_id from _howdah.step s join _howdah.member m on m.step = s.id and m.state is null
                      join _howdah.job j on j.id = m.job_id and j.lease is null
                      where s.workflow = cancel_workflow.id and s.state in ('n', 'b', 'o') limit 5000);
        exit when open_ones = '{}' or cardinality(_howdah.settle(open_ones, null, 'C', null,
                                     array_fill('its workflow was cancelled'::text, array[cardinality(open_ones)]))) = 0;
    end loop;
    perform howdah.cancel(m.job_id)
    from _howdah.step s join _howdah.member m on m.step = s.id and m.state is null
    where s.workflow = cancel_workflow.id and s.state in ('n', 'b', 'o');
    update _howdah.step s set state = 'o', opened = s.total, verdict = case when s.state <> 'o' then 'C' else s.verdict end
    where s.workflow = cancel_workflow.id and s.state in ('n', 'b', 'o');
    perform _howdah.note('w', array[cancel_workflow.id::text]);
    return true;
end $$;

-- Tries a workflow that has ended again: from its failed and cancelled jobs on, or the whole of it. Returns how many jobs came back.
create or replace function howdah.retry_workflow(id uuid, whole boolean default false) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    steps  uuid[];
    jobs   uuid[];
    back   uuid[];
begin
    if _howdah.lock_workflow(retry_workflow.id) = 'x' then
        perform _howdah.refuse('JQ003', format('workflow %s has not ended', retry_workflow.id), 'Wait for its end, or cancel it, and retry it then.');
    end if;
    perform _howdah.add_up(retry_workflow.id);
    update _howdah.workflow w
    set percent = case when not retry_workflow.whole then greatest(w.percent, _howdah.workflow_percent(w.id)) else 0 end, state = 'x', cancelling = false, finished_at = null, result = null
    where w.id = retry_workflow.id;
    steps := array(select s.id from _howdah.step s where s.workflow = retry_workflow.id
                     and (retry_workflow.whole or s.state in ('F', 'C') or s.failed + s.cancelled > 0) order by s.place);
    if retry_workflow.whole then  -- what was made of results is made anew
        delete from _howdah.member m using _howdah.step s where s.id = any (steps) and s.each is not null and m.step = s.id;
    end if;
    jobs := array(select m.job_id from _howdah.member m where m.step = any (steps) and (retry_workflow.whole or m.state in ('F', 'C')) order by m.step, m.place);
    back := _howdah.bring_back(jobs);
    if cardinality(back) < cardinality(jobs) then
        perform _howdah.refuse('JQ003', format('job %s has left history', (select j from unnest(jobs) j where j <> all (back) limit 1)),
                               'Nothing was changed. Start the workflow anew.');
    end if;
    update _howdah.member m set state = null, result = null, error = null where m.job_id = any (jobs);
    update _howdah.step s
    set state = 'n', verdict = null, error = null, closing = false, finished_at = null, failed = 0, cancelled = 0, filled = null,
        succeeded = case when retry_workflow.whole then 0 else s.succeeded end,
        total = case when retry_workflow.whole and s.each is not null then 0 else s.total end,
        opened = coalesce((select min(m.place) - 1 from _howdah.member m where m.step = s.id and m.state is null), s.total)
    where s.id = any (steps);
    update _howdah.step s set opened = 0 where s.id = any (steps) and s.opened > s.total;
    -- What they wait for is looked at anew: a job of a step before them may have been tried again since, by itself.
    update _howdah.step_edge e set state = null where e.child = any (steps);
    update _howdah.step_edge e set state = null where e.parent = any (steps) and e.child <> all (steps);
    perform _howdah.note('w', array[retry_workflow.id::text]);
    return cardinality(jobs);
end $$;

-- Brings finished jobs back, to wait until their step is let in. Which it found.
create or replace function _howdah.bring_back(ids uuid[]) returns uuid[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    back  uuid[];
begin
    perform pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    with gone as (
        delete from _howdah.finished f where f.id = any (bring_back.ids)
        returning f.created_at, f.timeout_ms, f.priority, f.attempt, f.base_attempt, f.max_attempts, f.id, f.delivery, f.queue,
                  f.task, f.args, f.headers, f.tags, f.hooks, f.serial_key, f.limit_keys, f.on_failure, f.fair_key
    ), put as (
        insert into _howdah.job
            (seq, created_at, timeout_ms, priority, attempt, base_attempt, max_attempts, id, state, delivery, queue, task, args,
             headers, tags, hooks, serial_key, limit_keys, on_failure, fair_key)
        select nextval('_howdah.seq'), g.created_at, g.timeout_ms, g.priority, g.attempt, g.attempt,
               g.attempt + coalesce(g.max_attempts, 4) - coalesce(g.base_attempt, 0), g.id, 'w', g.delivery, g.queue, g.task, g.args,
               g.headers, g.tags, g.hooks, g.serial_key, g.limit_keys, g.on_failure, g.fair_key
        from gone g returning id)
    select coalesce(array_agg(p.id), '{}') into back from put p;
    return back;
end $$;

-- One job of a workflow comes back by itself: its step goes on. It waits where its step does, or is let in, with what it has not had of the arguments
-- that are made of results (filled). Refused where its step would not run: a step before it ended badly, or the workflow is being cancelled. The
-- workflow is held.
create or replace function _howdah.reopen_member(id uuid, args jsonb, out waits boolean, out filled jsonb)
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    old      record;
    step     record;
    parents  record;
    again    "char";  -- what its step is from now on
begin
    select m.step, m.place, m.state, s.workflow into old
    from _howdah.member m join _howdah.step s on s.id = m.step where m.job_id = reopen_member.id and m.state is not null;
    if not found then
        waits := false;
        return;
    end if;
    perform _howdah.add_up(old.workflow);
    select s.name, s.state, s.verdict, s.error, s.opened, s.filled, w.state = 'x' and w.cancelling as is_unwanted into step
    from _howdah.step s join _howdah.workflow w on w.id = s.workflow where s.id = old.step;
    select (array_agg(p.name order by e.place) filter (where p.state in ('F', 'C') and e.policy <> 'i'))[1] as bad,
           coalesce(bool_or(p.state in ('n', 'b', 'o')), false) as are_live into parents
    from _howdah.step_edge e join _howdah.step p on p.id = e.parent where e.child = old.step;
    if step.is_unwanted then
        perform _howdah.refuse('JQ003', format('the workflow of job %s is being cancelled', reopen_member.id), 'Wait for its end, and retry the job then.');
    elsif (step.state in ('S', 'F', 'C') or step.verdict is not null) and parents.bad is not null then
        perform _howdah.refuse('JQ003', format('step %s, for which it waits, did not succeed', parents.bad),
                               'Retry the jobs of that step first, and then this one, which will wait for them; or retry the workflow.');
    elsif step.state = 'o' and step.verdict is not null then
        perform _howdah.refuse('JQ003', format('step %s is about to end: %s', step.name, step.error), 'Retry the job when it has.');
    end if;

    again := case when step.state in ('n', 'b', 'o') then step.state when parents.are_live or step.verdict is not null then 'n' else 'o' end;
    waits := again in ('n', 'b') or step.state = 'o' and old.place > step.opened;
    if not waits then
        filled := step.filled;
        if pg_column_size(reopen_member.args || filled) > 1048576 then
            perform _howdah.refuse('JQ003', format('job %s cannot come back: its arguments would be larger than 1 MiB', reopen_member.id), 'Start the workflow anew, with smaller results.');
        end if;
    end if;
    update _howdah.member m set state = null, result = null, error = null where m.job_id = reopen_member.id;
    update _howdah.step s
    set state = again, succeeded = s.succeeded - (old.state = 'S')::int, failed = s.failed - (old.state = 'F')::int,
        cancelled = s.cancelled - (old.state = 'C')::int, opened = case when again in ('n', 'b') then least(s.opened, old.place - 1) else s.opened end,
        verdict = null, error = null, finished_at = null, closing = false, filled = case when again = 'n' then null else s.filled end,
        started_at = case when again in ('n', 'b') then null else s.started_at end
    where s.id = old.step;
    if again is distinct from step.state then
        update _howdah.step_edge e set state = null where again = 'n' and e.child = old.step;
        update _howdah.step_edge e set state = null  -- those that have not begun wait for it once more
        where e.parent = old.step and (select c.state from _howdah.step c where c.id = e.child limit 1) in ('n', 'b');
    end if;
    update _howdah.workflow w set state = 'x', cancelling = false, finished_at = null, result = null where w.id = old.workflow and w.state <> 'x';
    perform _howdah.note('w', array[old.workflow::text]);
end $$;

-- Gives the waiting jobs of a workflow, and those that are still to be made, another priority; greater runs first. How many were ranked anew.
create or replace function howdah.rank_workflow(id uuid, priority int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    ids  uuid[];
begin
    if rank_workflow.priority is null then
        perform _howdah.refuse('JQ001', 'a workflow needs a priority to be ranked by', 'Give a whole number; greater runs first.');
    end if;
    perform _howdah.lock_workflow(rank_workflow.id);
    update _howdah.workflow w set priority = rank_workflow.priority where w.id = rank_workflow.id;
    update _howdah.step s set job = s.job - 'priority' where s.workflow = rank_workflow.id and s.job ? 'priority';
    ids := array(select j.id from _howdah.step s join _howdah.member m on m.step = s.id and m.state is null
                 join _howdah.job j on j.id = m.job_id and j.state <> 'x' and j.priority <> rank_workflow.priority
                 where s.workflow = rank_workflow.id order by j.seq for update of j skip locked);
    update _howdah.job j set priority = rank_workflow.priority where j.id = any (ids);
    perform _howdah.make_ready(array_agg(j.id order by j.seq), null, array_agg(j.run_at order by j.seq))
    from _howdah.job j where j.id = any (ids) and j.state = 'r' having count(*) > 0;
    return cardinality(ids);
end $$;

-- Adds steps to a workflow from outside; they may wait for any that it has. Refused once it has ended.
create or replace function howdah.add_to_workflow(id uuid, steps jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if _howdah.lock_workflow(add_to_workflow.id) <> 'x' then
        perform _howdah.refuse('JQ003', format('workflow %s has ended', add_to_workflow.id), 'Nothing was added. Start another one.');
    end if;
    perform _howdah.check_growth(add_to_workflow.steps);
    perform _howdah.hold_workflows(array[add_to_workflow.id]);
    perform _howdah.grow(add_to_workflow.id, add_to_workflow.steps);
end $$;

-- Refuses steps to be added that are no objects, or come before what is no list.
create or replace function _howdah.check_growth(steps jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    flaw  text;
begin
    if jsonb_typeof(steps) is distinct from 'array' then
        perform _howdah.refuse('JQ001', 'steps must be a JSON array of objects', 'Nothing was added.');
    end if;
    select case when jsonb_typeof(s) <> 'object' then 'a step must be a JSON object' else format('step %L: before must be a list of names', s ->> 'name') end into flaw
    from jsonb_array_elements(steps) s where jsonb_typeof(s) <> 'object' or jsonb_typeof(s -> 'before') <> 'array' limit 1;
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was added. Correct this and add it again.');
    end if;
end $$;

-- Adds steps to a workflow that is held. `before` names steps that are to wait for a new one too, as long as they wait for others.
create or replace function _howdah.grow(workflow uuid, steps jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    made  uuid[];
    late  text;
begin
    if jsonb_typeof(grow.steps) is distinct from 'array' then
        perform _howdah.refuse('JQ001', 'steps must be a JSON array of objects', 'Nothing was added.');
    end if;
    made := _howdah.put_steps(grow.workflow, (select coalesce(jsonb_agg(s - 'before'), '[]') from jsonb_array_elements(grow.steps) s), false);
    select b.name into late
    from jsonb_array_elements(grow.steps) s cross join lateral jsonb_array_elements_text(s -> 'before') b (name)
    where not exists (select from _howdah.step o where o.workflow = grow.workflow and o.name = b.name and o.state in ('n', 'b')) limit 1;
    if found then
        perform _howdah.refuse('JQ003', format('step %s has begun, or there is none: nothing can come before it', late), 'Nothing was added.');
    end if;
    insert into _howdah.step_edge (parent, child, place, policy)
    select p.id, c.id, 1000000 + p.place, 'f'
    from jsonb_array_elements(grow.steps) s cross join lateral jsonb_array_elements_text(s -> 'before') b (name)
    join _howdah.step p on p.workflow = grow.workflow and p.name = s ->> 'name' and p.id = any (made)
    join _howdah.step c on c.workflow = grow.workflow and c.name = b.name
    on conflict do nothing;
end $$;

-- How far a workflow is, in percent: the mean of its steps, of each the part that succeeded. What failed would be undone by a retry.
create or replace function _howdah.workflow_percent(id uuid) returns float8
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select coalesce(100.0 * avg(case when s.state = 'S' or s.total > 0 and s.succeeded >= s.total then 1.0 when s.total = 0 then 0.0 else s.succeeded::float8 / s.total end), 0)
    from _howdah.step_counts s where s.workflow = workflow_percent.id
$$;

-- Workflows that ended longer ago than their failed jobs are kept, a bounded part at a time.
create or replace function _howdah.prune_workflows(n int) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    old   uuid[] := array(select w.id from _howdah.workflow w cross join _howdah.setting s
                          where w.finished_at < _howdah.clock() - greatest(s.retention, s.failed_retention)
                          order by w.finished_at limit 100 for update of w skip locked);
    gone  bigint;
begin
    delete from _howdah.member m where m.ctid = any (array(
        select o.ctid from _howdah.step s join _howdah.member o on o.step = s.id where s.workflow = any (old) limit prune_workflows.n));
    delete from _howdah.step_edge e using _howdah.step s
    where s.workflow = any (old) and e.child = s.id and not exists (select from _howdah.member m where m.step = s.id);
    delete from _howdah.step s where s.workflow = any (old) and not exists (select from _howdah.member m where m.step = s.id);
    delete from _howdah.workflow w where w.id = any (old) and not exists (select from _howdah.step s where s.workflow = w.id);
    get diagnostics gone = row_count;
    return gone;
end $$;

-- Holds the workflows that jobs add steps to: before those jobs, as whoever advances or cancels one does. With skip_locked: the jobs whose
-- workflow somebody holds.
create or replace function _howdah.held_flows(ids uuid[], steps jsonb[], skip_locked boolean) returns uuid[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    growing  record;
    free     uuid[];
begin
    select array_agg(u.id) as ids, array_agg(s.workflow) as flows into growing
    from unnest(held_flows.ids, held_flows.steps) u (id, steps)
    cross join lateral (select o.step from _howdah.member o where o.job_id = u.id limit 1) m
    cross join lateral (select o.workflow from _howdah.step o where o.id = m.step limit 1) s
    where u.steps is not null;
    free := case when held_flows.skip_locked then array(
                select w.id from _howdah.workflow w where w.id = any (growing.flows) order by w.id for update skip locked) else growing.flows end;
    perform _howdah.hold_workflows(free);
    return (select array_agg(g.id) from unnest(growing.ids, growing.flows) g (id, flow)
            where g.flow <> all (free) and exists (select from _howdah.workflow w where w.id = g.flow));
end $$;

-- Adds steps to the workflow of a job that has just succeeded, in its own transaction: the workflow is held, and cannot have ended before.
create or replace function _howdah.grow_from(id uuid, steps jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    perform _howdah.check_growth(grow_from.steps);
    perform _howdah.grow(s.workflow, grow_from.steps)
    from _howdah.member m join _howdah.step s on s.id = m.step where m.job_id = grow_from.id;
end $$;
