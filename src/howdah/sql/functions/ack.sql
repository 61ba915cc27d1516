-- Finishes one job as succeeded. Refused with JQ002, and nothing changed, when the lease is wrong, old or has run out.
create or replace function howdah.ack(id uuid, lease uuid, result jsonb default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform _howdah.finish_one(ack.id, ack.lease, 'succeeded', ack.result, null, null, null);
end $$;

create or replace function _howdah.finish_one(
    id uuid, lease uuid, outcome text, result jsonb, error text, retry_in interval, retry_at timestamptz
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from howdah.finish(array[finish_one.id], array[finish_one.lease], array[outcome], array[result],
                                         array[error], null, array[retry_in],
                                         array[retry_at]) f
               where f.reason = 'lost') then
        perform _howdah.refuse('JQ002', format('job %s is not held under this lease', finish_one.id),
            'The lease ran out, or was never of this job; somebody else may be running it. Nothing was changed.');
    end if;
end $$;
