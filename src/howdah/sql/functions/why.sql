-- Why this job is not running, in one sentence.
create or replace function howdah.why(id uuid) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    job       _howdah.job;
    ended     record;
    held      record;
    moment    timestamptz := _howdah.clock();
    moment_text  text := 'YYYY-MM-DD HH24:MI:SS TZ';
    failure   text;
begin
    select j.* into job from _howdah.job j where j.id = why.id;
    if not found then
        select f.state, f.finished_at, f.error into ended from _howdah.finished f where f.id = why.id;
        return case when found then format('finished: %s at %s%s', _howdah.state_name(ended.state),
                                           to_char(ended.finished_at, moment_text), coalesce(': ' || regexp_replace(ended.error, '^.*\n', ''), ''))
                    else 'there is no such job: it never was, was deleted, or has left history' end;
    end if;

    if job.state = 'x' then
        select w.name, l.worker, l.claimed_at, w.beat_at + w.lost_after < moment as silent into held
        from _howdah.lease l left join _howdah.worker w on w.id = l.worker where l.lease = job.lease;
        return case
            when job.leased_until <= moment then
                format('its lease ran out at %s; it goes back with the next chores', to_char(job.leased_until, moment_text))
            when held.worker is null then format('running since %s, claimed without a worker, leased until %s',
                to_char(held.claimed_at, moment_text), coalesce(to_char(job.leased_until, moment_text), 'its caller finishes it'))
            when held.silent then format('its worker %s is silent; it goes back with the next chores', held.name)
            else format('running on %s since %s%s', held.name, to_char(held.claimed_at, moment_text),
                        case when exists (select from _howdah.cancel_request c where c.job_id = job.id and c.lease = job.lease)
                             then '; asked to cancel' else '' end) end;
    end if;

    if job.state = 's' and job.run_at > moment then
        failure := (select a.outcome || coalesce(': ' || left(regexp_replace(a.error, '^.*\n', ''), 200), '') from _howdah.attempt a
                    where a.job_id = job.id order by a.finished_at desc limit 1);
        return format('scheduled for %s%s', to_char(job.run_at, moment_text),
                      case when failure is null then '' else format(' after attempt %s of %s (%s)', job.attempt, coalesce(job.max_attempts, 4), failure) end);
    elsif job.state = 's' then
        return format('due since %s, waiting for the next chores', to_char(job.run_at, moment_text));
    end if;

    if job.state = 'w' then
        return coalesce(_howdah.why_member(job.id), _howdah.why_dependent(job.id));
    elsif job.state = 'b' then
        return coalesce(_howdah.why_blocked(job), 'it is about to be let in, by the next worker that looks');
    end if;

    return case
        when exists (select from _howdah.queue q where q.name = job.queue and q.paused) then format('queue %s is paused', job.queue)
        when not exists (select from _howdah.serving w) then 'no worker is running'
        when not exists (select from _howdah.serving w where job.queue like any (_howdah.like_patterns(w.queues)))
            then format('no worker listens to queue %s', job.queue)
        when not exists (select from _howdah.serving w where job.queue like any (_howdah.like_patterns(w.queues))
                           and _howdah.knows(w.tasks, job.task))
            then format('no worker of queue %s knows the task %s%s', job.queue, job.task, (
                select format(' (served: %s)', string_agg(distinct t, ', ' order by t)) from _howdah.serving w cross join unnest(w.tasks) t
                where job.queue like any (_howdah.like_patterns(w.queues)) and split_part(t, '@', 1) = split_part(job.task, '@', 1)
                having count(*) > 0))
        else format('ready: %s job%s of queue %s before it',
                    (select case when count(*) > 1000 then 'more than 1000' else count(*)::text end
                     from (select from _howdah.job j where j.state = 'r' and j.queue = job.queue
                             and (j.priority > job.priority or (j.priority = job.priority and j.seq < job.seq)) limit 1001) b),
                    case when (select count(*) from (select from _howdah.job j where j.state = 'r' and j.queue = job.queue
                             and (j.priority > job.priority or (j.priority = job.priority and j.seq < job.seq)) limit 2) b) = 1
                         then '' else 's' end, job.queue) end;
end $$;

-- What keeps a job of a workflow waiting; NULL: it is of none.
create or replace function _howdah.why_member(id uuid) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    step     record;
    parents  text[];
begin
    select s.id, s.name, w.name as flow, w.error into step
    from _howdah.member m join _howdah.step s on s.id = m.step join _howdah.workflow w on w.id = s.workflow where m.job_id = why_member.id;
    if not found then
        return null;
    end if;
    parents := array(select p.name::text from _howdah.step_edge e join _howdah.step p on p.id = e.parent
                     where e.child = step.id and e.state is null order by p.place limit 2);
    return case
        when step.error is not null then format('its workflow %s cannot go on, and is tried again every few seconds: %s', step.flow, step.error)
        when parents <> '{}' then format('step %s of its workflow %s waits for step %s%s', step.name, step.flow, parents[1],
                                         case when cardinality(parents) > 1 then ' and others' else '' end)
        else format('step %s of its workflow %s is about to let it in, by the next worker that looks', step.name, step.flow) end;
end $$;

-- Which key keeps a blocked job waiting, and who has it; NULL: nothing does any more.
create or replace function _howdah.why_blocked(job _howdah.job) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    before  uuid;
    most    int := _howdah.most_of(job.waits_for);
    places  uuid[];
begin
    if left(job.waits_for, 1) = chr(1) then
        return format('waiting for the turn of %s in queue %s, which is served in shares', job.fair_key, job.queue);
    elsif job.waits_for is not null then
        if _howdah.starts_left(job.waits_for) <= 0 then
            return format('rate limit: next at %s, the rate of key %s is used up',
                          to_char(_howdah.next_start(job.waits_for), 'YYYY-MM-DD HH24:MI:SS TZ'), job.waits_for);
        end if;
        places := array(select p.job_id from _howdah.place p where p.key = job.waits_for and p.unstarted order by p.job_id limit 3);
        if _howdah.starts_left(job.waits_for) <= (select count(*) from _howdah.place p where p.key = job.waits_for and p.unstarted) then
            return format('the rate of key %s is reserved for jobs that were let in and have not started: %s', job.waits_for,
                          array_to_string(places, ', ') || case when cardinality(places) = 3 then ' and perhaps others' else '' end);
        end if;
        places := array(select p.job_id from _howdah.place p where p.key = job.waits_for order by p.job_id limit 3);
        return case when most <= (select count(*) from _howdah.place p where p.key = job.waits_for) then
            format('limit %s of key %s reached%s', most, job.waits_for,
                   case when places <> '{}' then ', held by ' || array_to_string(places, ', ') || case when (select count(*) from _howdah.place p where p.key = job.waits_for) > 3 then ' and others' else '' end else '' end) end;
    end if;
    select j.id into before from _howdah.serial_key s join _howdah.job j on j.id = s.holder and j.serial_key = s.key
    where s.key = job.serial_key and j.id <> job.id and _howdah.keeps_turn(j.state, j.on_failure, j.cursor);
    before := coalesce(before, (select j.id from _howdah.job j where j.state = 'b' and j.serial_key = job.serial_key and j.seq < job.seq
                                order by j.seq limit 1));
    return case when before is not null then
        format('waiting for job %s of key %s (%s)', before, job.serial_key,
               (select _howdah.state_name(j.state) from _howdah.job j where j.id = before)) end;
end $$;
