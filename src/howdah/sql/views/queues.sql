-- One row per queue that is known or holds waiting jobs. Counts stop at 1,000, but for running jobs (scheduled ones are counted
-- among the 5,000 that are due next, failed ones among 5,000 of the newest 200,000 that failed or were cancelled), so that
-- looking costs the same at ten million jobs.
create or replace view howdah.queues as
with scheduled as (
    select s.queue, s.n from _howdah.count_scheduled(5000) s
), running as (
    select r.queue, count(*) as n from _howdah.leased r group by r.queue
), failed as (
    select f.queue, f.n from _howdah.count_failed(200000, 5000) f
), known as (
    select q.name::text as name from _howdah.queue q
    union select ready.name from pg_catalog.unnest(_howdah.ready_queues()) ready (name)
    union select s.queue from scheduled s
    union select blocked.name from pg_catalog.unnest(_howdah.blocked_queues()) blocked (name)
    union select r.queue from running r
    union select f.queue from failed f
)
select known.name as queue, coalesce(q.paused, false) as paused,
       _howdah.count_ready(known.name, 1000) as ready,
       least(coalesce(s.n, 0), 1000) as scheduled, coalesce(r.n, 0) as running, least(coalesce(f.n, 0), 1000) as failed,
       _howdah.clock() - _howdah.oldest(known.name) as oldest,
       coalesce(q.keep_history, true) as keep_history, coalesce(q.durable, true) as durable,
       q.fair_by, q.age_after, _howdah.count_blocked(known.name, 1000) as blocked,
       _howdah.unserved(known.name, 200) as unserved
from known
left join _howdah.queue q on q.name = known.name
left join scheduled s on s.queue = known.name
left join running r on r.queue = known.name
left join failed f on f.queue = known.name;
