-- Enqueue and finish are durable unless the queue says otherwise. A `set synchronous_commit` of a function would be
-- undone before the commit; this holds to the end of the transaction, and only ever raises the setting.
-- Callers look at the setting first, so that the usual case pays one comparison.
create or replace function _howdah.durable(queues text[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from unnest(queues) q (name)
               where not exists (select from _howdah.queue k where k.name = q.name and not k.durable)) then
        perform set_config('synchronous_commit', 'on', true);
    end if;
end $$;
