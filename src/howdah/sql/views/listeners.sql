-- What turns events into jobs.
create or replace view howdah.listeners as
select l.name::text as name, l.event::text as event, l.task::text as task, l.args, l.options, l.delay, l.collapse, l.collapse_on,
       l.paused, l.declared_in, l.vanished_at, l.created_at
from _howdah.listener l cross join (select) no_write;
