-- How far a running job is: `done` of `total`, and a few words. Refused with JQ002 when the lease is lost.
create or replace function howdah.progress(
    id uuid, lease uuid, done float8, total float8 default null, note text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if _howdah.note_progress(array[progress.id], array[progress.lease], array[progress.done], array[progress.total], array[progress.note]) = 0 then
        perform _howdah.refuse('JQ002', format('job %s is not held under this lease', progress.id),
            'The lease ran out, or was never of this job; somebody else may be running it. Nothing was changed.');
    end if;
end $$;

-- The same of many jobs of a worker; those whose lease is lost are left out. Returns of how many it was noted.
create or replace function howdah.note_progress(ids uuid[], leases uuid[], done float8[], totals float8[], notes text[]) returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.note_progress(note_progress.ids, note_progress.leases, note_progress.done, note_progress.totals, note_progress.notes) $$;

create or replace function _howdah.note_progress(ids uuid[], leases uuid[], done float8[], totals float8[], notes text[]) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    noted   int;
begin
    if exists (select from unnest(note_progress.done, note_progress.totals) n (done, total)
               where n.done is null or n.done not between 0 and 1e300 or n.total not between 0 and 1e300) then
        perform _howdah.refuse('JQ001', 'progress is counted in numbers from 0 on', 'For example 3 of 10.');
    end if;
    insert into _howdah.progress as p (job_id, lease, noted_at, done, total, note)
    select distinct on (n.id) n.id, n.lease, moment, n.done, n.total, left(n.note, 200)
    from unnest(note_progress.ids, note_progress.leases, note_progress.done, note_progress.totals, note_progress.notes) with ordinality
         n (id, lease, done, total, note, place)
    cross join lateral (
        select from _howdah.job j
        where j.id = n.id and j.lease = n.lease and coalesce(j.leased_until > moment, true) limit 1) held
    order by n.id, n.place desc
    on conflict (job_id) do update
    set lease = excluded.lease, noted_at = excluded.noted_at, done = excluded.done, total = excluded.total, note = excluded.note;
    get diagnostics noted = row_count;
    return noted;
end $$;
