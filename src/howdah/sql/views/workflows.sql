-- Steps with what was written down of them and not yet added up.
create or replace view _howdah.step_counts as
select s.id, s.workflow, s.name, s.place, s.state, s.verdict, s.error, s.total, s.opened, s.started_at, s.finished_at, s.job, s.pipeline, s."order",
       s.succeeded + coalesce(t.good, 0) as succeeded, s.failed + coalesce(t.bad, 0) as failed, s.cancelled + coalesce(t.cancelled, 0) as cancelled,
       s.succeeded + s.failed + s.cancelled + coalesce(t.n, 0) as done
from _howdah.step s
cross join lateral (
    select sum(c.n) filter (where c.state = 'S') as good, sum(c.n) filter (where c.state = 'F') as bad,
           sum(c.n) filter (where c.state = 'C') as cancelled, sum(c.n) as n
    from _howdah.tally c where c.workflow = s.workflow and c.step = s.id) t;

-- Named runs of jobs. percent is the mean of the steps, and never falls; error is why one cannot go on, which is tried again every few seconds.
create or replace view howdah.workflows as
select w.id, w.name::text as name,
       case when w.state = 'x' and w.cancelling then 'cancelling' when w.state = 'x' then 'running' else _howdah.state_name(w.state) end as state,
       case when w.state = 'S' then 100 else greatest(w.percent, _howdah.workflow_percent(w.id)) end as percent,
       c.steps, c.jobs, c.succeeded, c.failed, c.cancelled, w.priority, w.args, w.created_at, w.finished_at, w.result, w.is_request,
       w.error
from _howdah.workflow w
cross join lateral (
    select count(*) as steps, coalesce(sum(s.total), 0)::bigint as jobs, coalesce(sum(s.succeeded), 0)::bigint as succeeded,
           coalesce(sum(s.failed), 0)::bigint as failed, coalesce(sum(s.cancelled), 0)::bigint as cancelled
    from _howdah.step_counts s where s.workflow = w.id) c;

-- Their steps, in order: how many jobs were created, run and have ended how; waits_for names the steps that have to end first.
create or replace view howdah.steps as
select s.workflow, s.name::text as name, s.job ->> 'task' as task,
       case s.state when 'n' then 'blocked' when 'b' then 'blocked' when 'o' then 'running' else _howdah.state_name(s.state) end as state,
       s.total as created, coalesce(r.n, 0) as running,
       s.done as finished, s.succeeded, s.failed, s.cancelled,
       array(select p.name::text from _howdah.step_edge e join _howdah.step p on p.id = e.parent where e.child = s.id order by p.place) as after,
       array(select p.name::text from _howdah.step_edge e join _howdah.step p on p.id = e.parent where e.child = s.id and e.state is null order by p.place) as waits_for,
       s.pipeline, s."order", s.error, s.started_at, s.finished_at, s.place, s.id
from _howdah.step_counts s
-- offset 0: one look for each job that runs, however many have been members
left join (
    select m.step, count(*) as n from _howdah.leased l
    cross join lateral (select o.step from _howdah.member o where o.job_id = l.id offset 0) m group by m.step) r on r.step = s.id;
