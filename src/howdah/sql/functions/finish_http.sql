-- howdah.finish for attempts some of which brought an answer of a server: the answers of jobs that have ended are stored in the
-- same transaction. statuses, urls, response_headers, bodies, durations and numbers (of the attempts) run in parallel with ids.
create or replace function howdah.finish_http(
    ids               uuid[],
    leases            uuid[],
    outcomes          text[],
    results           jsonb[],
    errors            text[],
    reasons           text[],
    retry_in          interval[],
    done              uuid[],
    skip_locked       boolean,
    statuses          int[],
    urls              text[],
    response_headers  jsonb[],
    bodies            bytea[],
    durations         interval[],
    numbers           int[],
    cursors           jsonb[] default null    -- of those without an answer, as in finish
) returns table (id uuid, reason text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    refused  uuid[];
    reasoned text[];
begin
    select coalesce(array_agg(f.id), '{}'), coalesce(array_agg(f.reason), '{}') into refused, reasoned
    from howdah.finish(ids, leases, outcomes, results, errors, reasons, retry_in, null, done, skip_locked, finish_http.cursors) f;
    if exists (select from unnest(numbers) n where n > 1) then  -- one that was retried by hand has answered before
        delete from _howdah.http_response r
        where r.job_id in (select u.id from unnest(finish_http.ids, numbers) u (id, number)
                           where u.number > 1 and u.id <> all (refused));
    end if;
    insert into _howdah.http_response (finished_at, job_id, status, attempts, duration, url, headers, body)
    select _howdah.clock(), u.id, u.status, u.number, u.duration, u.url, u.headers, u.body
    from unnest(finish_http.ids, statuses, urls, response_headers, bodies, durations, numbers)
         u (id, status, url, headers, body, duration, number)
    where u.status is not null and u.id <> all (refused)
      and not exists (select from _howdah.job j where j.id = u.id);  -- else it is to be tried again
    return query select r.id, r.reason from unnest(refused, reasoned) r (id, reason);
end $$;
