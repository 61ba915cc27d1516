-- Ends one attempt that did not succeed; returns the job's new state. Without a time the task's backoff decides (3 s, 6 s,
-- 12 s …); retry => false fails the job for good. Attempts that are used up fail it too.
create or replace function howdah.nack(
    id        uuid,
    lease     uuid,
    error     text        default null,
    retry_in  interval    default null,
    retry_at  timestamptz default null,
    retry     boolean     default true
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if nack.retry_in < interval '0' or nack.retry_in > interval '10 years' or nack.retry_at in ('infinity', '-infinity')
       or nack.retry_at > now() + interval '10 years' or (nack.retry_in is not null and nack.retry_at is not null) then
        perform _howdah.refuse('JQ001', 'retry_in and retry_at do not make one time within ten years',
                               'Give one of them, or none for the task''s backoff.');
    end if;
    perform _howdah.finish_one(nack.id, nack.lease, case when nack.retry then 'retry' else 'failed' end, null, nack.error,
        nack.retry_in, nack.retry_at);
    return coalesce((select _howdah.state_name(j.state) from _howdah.job j where j.id = nack.id),
                    (select _howdah.state_name(f.state) from _howdah.finished f where f.id = nack.id), 'failed');
end $$;
