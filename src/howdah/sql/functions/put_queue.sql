-- What a queue keeps: keep_history => false deletes its jobs when they are done; durable => false leaves
-- synchronous_commit as the caller has it. NULL leaves a setting as it is.
create or replace function howdah.put_queue(queue text, keep_history boolean default null, durable boolean default null)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform _howdah.check_queue(put_queue.queue);
    insert into _howdah.queue as q (name, keep_history, durable, created_at)
    values (put_queue.queue, coalesce(put_queue.keep_history, true), coalesce(put_queue.durable, true), _howdah.clock())
    on conflict (name) do update
    set keep_history = coalesce(put_queue.keep_history, q.keep_history), durable = coalesce(put_queue.durable, q.durable);
end $$;
