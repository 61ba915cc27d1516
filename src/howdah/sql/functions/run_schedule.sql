-- A job of a schedule, now and besides its ticks, also while it is paused; returns the job's id.
create or replace function howdah.run_schedule(name text) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known  _howdah.schedule;
    job    uuid;
begin
    select s.* into known from _howdah.schedule s where s.name = run_schedule.name for update;
    perform _howdah.check_is_schedule(run_schedule.name);
    job := _howdah.schedule_job(known, _howdah.clock());
    update _howdah.schedule s set last_job = job where s.name = run_schedule.name;
    return job;
end $$;
