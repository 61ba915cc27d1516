-- Keeps what a worker's app declares of schedules, a JSON array of objects: name, kind, rule, tz, task, args, options, missed,
-- missed_after, missed_within, overlap, declared_in. Answers those that are new or changed; that were kept, because the database
-- has its own; and that have vanished: once declared in one of these packages, and no more. Those go on until they are deleted.
create or replace function howdah.declare_schedules(schedules jsonb, packages text[]) returns table (name text, outcome text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with told as materialized (
        select d.name, _howdah.store_schedule(
                   d.name, d.kind, d.rule, d.tz, d.task, coalesce(d.args, '{}'), coalesce(d.options, '{}'), d.missed,
                   d.missed_after, d.missed_within, d.overlap, null, d.declared_in) as outcome
        from (select e.* from jsonb_to_recordset(declare_schedules.schedules) e (
                  name text, kind text, rule text, tz text, task text, args jsonb, options jsonb, missed text,
                  missed_after interval, missed_within interval, overlap text, declared_in text)
              order by e.name) d
    )
    select t.name, t.outcome from told t where t.outcome <> 'same';

    return query
    select s.name::text, 'vanished' from _howdah.schedule s
    where s.declared_in = any (declare_schedules.packages)
      and not exists (select from jsonb_array_elements(declare_schedules.schedules) d where d ->> 'name' = s.name)
    order by s.name;
    update _howdah.schedule s set vanished_at = _howdah.clock()
    where s.declared_in = any (declare_schedules.packages) and s.vanished_at is null
      and not exists (select from jsonb_array_elements(declare_schedules.schedules) d where d ->> 'name' = s.name);
end $$;
