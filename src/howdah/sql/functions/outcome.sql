-- What became of a job, for whoever knows its id; no row when there is no such job. With a waiter (any uuid) an unfinished
-- job's end is notified: 'f' and its id on the channel.
create or replace function howdah.outcome(id uuid, waiter uuid default null)
returns table (state text, result jsonb, error text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    if outcome.waiter is not null and exists (select from _howdah.job j where j.id = outcome.id) then
        insert into _howdah.waiter (job_id, waiter, until) values (outcome.id, outcome.waiter, _howdah.clock() + interval '1 hour')
        on conflict do nothing;
    end if;
    return query select _howdah.state_name(j.state), null::jsonb, null::text from _howdah.job j where j.id = outcome.id;
    if not found then
        return query select _howdah.state_name(f.state), f.result, f.error from _howdah.finished f where f.id = outcome.id;
    end if;
end $$;
