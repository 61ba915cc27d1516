-- One row per queue that is known or holds waiting jobs. Counts stop at 10,000 (scheduled ones are counted among the first
-- 10,000 that are due next), so that looking costs the same at ten million jobs.
create or replace view howdah.queues as
with scheduled as (
    select s.queue, count(*) as n from (select j.queue from _howdah.job j where j.state = 's' order by j.run_at limit 10000) s group by s.queue
), running as (
    select r.queue, count(*) as n from _howdah.leased r group by r.queue
), failed as (
    select f.queue, count(*) as n from (select f.queue from _howdah.finished_failed f where f.state = 'F' limit 10000) f group by f.queue
), known as (
    select q.name::text as name from _howdah.queue q
    union select ready.name from pg_catalog.unnest(_howdah.ready_queues()) ready (name)
    union select s.queue from scheduled s
    union select r.queue from running r
    union select f.queue from failed f
)
select known.name as queue, coalesce(q.paused, false) as paused,
       (select count(*) from (select from _howdah.job j where j.state = 'r' and j.queue = known.name limit 10000) r) as ready,
       coalesce(s.n, 0) as scheduled, coalesce(r.n, 0) as running, coalesce(f.n, 0) as failed,
       _howdah.clock() - _howdah.oldest(known.name) as oldest,
       coalesce(q.keep_history, true) as keep_history, coalesce(q.durable, true) as durable
from known
left join _howdah.queue q on q.name = known.name
left join scheduled s on s.queue = known.name
left join running r on r.queue = known.name
left join failed f on f.queue = known.name;
