-- Brings a finished job back as the same id. It goes on counting attempts, with as much room for them as it had at first. One that waited for
-- others waits for those of them that have not ended; it is refused where one of them ended badly and that counts: that one is to be retried first.
create or replace function howdah.retry(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    job     record;
    hooks   int;
    waits   boolean := false;
    filled  jsonb;
begin
    if current_setting('synchronous_commit') = 'off' then
        perform _howdah.durable((select array_agg(f.queue::text) from _howdah.finished f where f.id = retry.id));
    end if;
    select f.hooks into hooks from _howdah.finished f where f.id = retry.id;
    if hooks & 32 <> 0 then  -- its workflow first, as whoever retries the whole of it does
        perform _howdah.hold_workflows(array(select s.workflow from _howdah.member m join _howdah.step s on s.id = m.step where m.job_id = retry.id));
    end if;
    delete from _howdah.finished f where f.id = retry.id
    returning f.created_at, f.timeout_ms, f.priority, f.attempt, f.base_attempt, f.max_attempts, f.id, f.delivery, f.queue,
              f.task, f.args, f.unique_key, f.headers, f.tags, f.hooks, f.serial_key, f.limit_keys, f.on_failure, f.fair_key into job;
    if not found then
        return false;
    end if;
    if job.hooks & 32 <> 0 then
        select m.waits, m.filled into waits, filled from _howdah.reopen_member(retry.id, job.args) m;
    else
        waits := _howdah.wait_again(retry.id);
    end if;
    if _howdah.any_limits() then  -- limits of its queue and task that came after it ended
        job.limit_keys := nullif(array(select distinct l from unnest(job.limit_keys || _howdah.limits_of(job.queue, job.task)) l order by l), '{}');
        job.hooks := nullif(coalesce(job.hooks, 0) | case when job.limit_keys is null then 0 else 2 end, 0);
    end if;
    perform pg_current_xact_id();  -- before nextval: a transaction is always older than its seqs (the scan floor)
    insert into _howdah.job
        (seq, created_at, timeout_ms, priority, attempt, base_attempt, max_attempts, id, state, delivery, queue, task, args,
         unique_key, headers, tags, hooks, serial_key, limit_keys, on_failure, fair_key, waits_for)
    values
        (nextval('_howdah.seq'), job.created_at, job.timeout_ms, job.priority, job.attempt, job.attempt,
         job.attempt + coalesce(job.max_attempts, 4) - coalesce(job.base_attempt, 0), job.id,
         case when waits then 'w' when job.hooks & 7 <> 0 then 'b' else 'r' end::"char", job.delivery, job.queue, job.task, job.args || coalesce(filled, '{}'), job.unique_key, job.headers, job.tags, job.hooks, job.serial_key, job.limit_keys,
         job.on_failure, job.fair_key, case when job.serial_key is null and not waits then coalesce(job.limit_keys[1], _howdah.fair_gate(job.queue, job.fair_key)) end)
    on conflict do nothing;
    if not found then
        perform _howdah.refuse('JQ003', format('job %s cannot come back: another unfinished job has its unique key', retry.id),
                               'Wait for that job, or cancel it, and retry again.');
    end if;
    if job.hooks & 7 <> 0 and not waits then
        perform _howdah.back_to_keys(array[retry.id]);
    end if;
    if _howdah.anybody_idle() then
        perform _howdah.wake(job.queue, job.task, 1);
    end if;
    return true;
end $$;
