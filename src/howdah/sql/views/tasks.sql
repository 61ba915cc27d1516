-- What workers declared of their tasks.
create or replace view howdah.tasks as
select t.name::text as name, coalesce(t.queue::text, 'default') as queue, coalesce(t.priority, 0) as priority,
       coalesce(t.max_attempts, 4) as max_attempts, _howdah.timeout_span(t.timeout_ms) as timeout,
       _howdah.delivery_name(t.delivery) as delivery, t.parameters, t.declared_at
from _howdah.task t cross join (select) no_write;
