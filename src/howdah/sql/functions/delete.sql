-- Removes a job that does not run, and what history has of it. A running one is refused: cancel it first.
create or replace function howdah.delete(id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    gone   boolean := cardinality(_howdah.settle(array[delete.id], null, 'C')) = 1;
    state  "char";
begin
    if exists (select from _howdah.job j where j.id = delete.id) then
        return false;
    end if;
    delete from _howdah.finished f where f.id = delete.id returning f.state into state;
    gone := gone or found;
    if state <> 'S' then
        perform _howdah.note_gone(array[delete.id], state);
    end if;
    delete from _howdah.attempt a where a.job_id = delete.id;
    delete from _howdah.given_id g where g.id = delete.id;
    delete from _howdah.http_response r where r.job_id = delete.id;
    return gone;
end $$;
