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
