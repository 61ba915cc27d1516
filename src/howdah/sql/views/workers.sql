-- Who is alive, and doing what.
create or replace view howdah.workers as
select w.id, w.name, w.host, w.pid, w.version, w.started_at, w.beat_at,
       (select count(*) from _howdah.leased l where l.worker = w.id) as running,
       w.control, w.slots, w.queues, w.tasks, w.lost_after,
       exists (select from _howdah.idle i where i.worker = w.id) as idle
from _howdah.worker w;

-- What workers declared of their tasks.
create or replace view howdah.tasks as
select t.name::text as name, coalesce(t.queue::text, 'default') as queue, coalesce(t.priority, 0) as priority,
       coalesce(t.max_attempts, 4) as max_attempts, _howdah.timeout_span(t.timeout_ms) as timeout,
       _howdah.delivery_name(t.delivery) as delivery, t.parameters, t.declared_at
from _howdah.task t;

create or replace view howdah.settings as
select s.lost_after, s.max_crashes, s.retention, s.failed_retention, s.unknown_task_age from _howdah.setting s;
