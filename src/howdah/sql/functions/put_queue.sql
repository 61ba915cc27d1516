-- What a queue keeps: keep_history => false deletes its jobs when they are done; durable => false leaves
-- synchronous_commit as the caller has it. fair_by, a template as {tenant}, has the queue served in rounds over what it makes of each
-- job's arguments (howdah.put_share says who gets more); age_after raises a job's priority by one whenever it has waited for so long.
-- NULL leaves a setting as it is; an empty fair_by, and an age_after of 0, take it away. What waits already stays as it is.
create or replace function howdah.put_queue(
    queue         text,
    keep_history  boolean  default null,
    durable       boolean  default null,
    fair_by       text     default null,
    age_after     interval default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform _howdah.check_queue(put_queue.queue);
    if put_queue.fair_by <> '' and put_queue.fair_by !~ '\{[^{}]+\}' or length(put_queue.fair_by) > 200 then
        perform _howdah.refuse('JQ001', format('fair_by %L names no argument', put_queue.fair_by), 'For example {tenant}.');
    end if;
    if put_queue.age_after <> interval '0' and put_queue.age_after not between interval '1 ms' and interval '10 years' then
        perform _howdah.refuse('JQ001', format('age_after %s is no time to wait', put_queue.age_after), 'For example 10 minutes; 0 takes it away.');
    end if;
    if put_queue.fair_by <> '' then
        perform nextval('_howdah.has_limits');
    end if;
    insert into _howdah.queue as q (name, keep_history, durable, fair_by, age_after, created_at)
    values (put_queue.queue, coalesce(put_queue.keep_history, true), coalesce(put_queue.durable, true), nullif(put_queue.fair_by, ''),
            nullif(put_queue.age_after, interval '0'), _howdah.clock())
    on conflict (name) do update
    set keep_history = coalesce(put_queue.keep_history, q.keep_history), durable = coalesce(put_queue.durable, q.durable),
        fair_by = case when put_queue.fair_by is null then q.fair_by else excluded.fair_by end,
        age_after = case when put_queue.age_after is null then q.age_after else excluded.age_after end;
end $$;
