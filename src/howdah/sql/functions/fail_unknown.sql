-- Fails ready jobs older than unknown_task_age whose task no live worker of their queue serves. Looks only at the head of
-- each queue, where such jobs gather, and only where somebody does serve the queue.
create or replace function _howdah.fail_unknown(n int) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    old  record;
begin
    select array_agg(h.id) as ids, array_agg(format('no worker knows the task %s', h.task)) as errors into old
    from unnest(_howdah.sources(null)) source (queue)
    cross join lateral (
        select j.id, j.task, j.created_at from _howdah.job j where j.state = 'r' and j.queue = source.queue
        order by j.priority desc, j.seq limit n) h
    where h.created_at < _howdah.clock() - (select s.unknown_task_age from _howdah.setting s)
      and exists (select from _howdah.serving w where source.queue like any (_howdah.like_patterns(w.queues)))
      and not exists (select from _howdah.serving w where source.queue like any (_howdah.like_patterns(w.queues))
                        and _howdah.knows(w.tasks, h.task));
    return case when old.ids is null then 0 else cardinality(_howdah.settle(old.ids, null, 'F', null, old.errors)) end;
end $$;
