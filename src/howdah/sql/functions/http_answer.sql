-- What became of a URL job, for whoever knows its id; no row when there is no such job. status and what follows it are NULL
-- where no answer is stored.
create or replace function howdah.http_answer(id uuid)
returns table (state text, error text, status int, url text, headers jsonb, body bytea, duration interval, attempts int)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    return query
    select o.state, o.error, r.status, r.url, r.headers, r.body, r.duration, r.attempts
    from (select _howdah.state_name(j.state) as state, null::text as error from _howdah.job j where j.id = http_answer.id
          union all
          select _howdah.state_name(f.state), f.error from _howdah.finished f where f.id = http_answer.id) o
    left join _howdah.http_response r on r.job_id = http_answer.id
    limit 1;
    if not found then  -- a queue that keeps no history
        return query select 'succeeded', null::text, r.status, r.url, r.headers, r.body, r.duration, r.attempts
        from _howdah.http_response r where r.job_id = http_answer.id;
    end if;
end $$;
