-- Wakes up to `n` idle workers that listen to the queue and know the task (NULL: any): one notification, naming them; the
-- others do not stir. Picked at random. A hint only: whoever misses it polls.
create or replace function _howdah.wake(queue text, task text, n bigint) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    names text;
begin
    select string_agg(left(i.worker::text, 8), ',') into names
    from (select i.worker from _howdah.idle i
          where (wake.queue = any (i.queues) or wake.queue like any (_howdah.like_patterns(i.queues)))
            and (wake.task is null or i.tasks is null or wake.task = any (i.tasks)
                 or wake.task like any (_howdah.like_patterns(i.tasks)))
          order by random() limit least(n, 100)) i;
    if names is not null then
        perform pg_notify(_howdah.channel(), 'w' || names);
    end if;
end $$;
