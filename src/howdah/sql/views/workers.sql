-- Who is alive, and doing what.
create or replace view howdah.workers as
select w.id, w.name, w.host, w.pid, w.version, w.started_at, w.beat_at,
       (select count(*) from _howdah.leased l where l.worker = w.id) as running,
       w.control, w.slots, w.queues, w.tasks, w.lost_after,
       exists (select from _howdah.idle i where i.worker = w.id and i.mark > (select f.last_value from _howdah.idle_floor f)) as idle
from _howdah.worker w;
