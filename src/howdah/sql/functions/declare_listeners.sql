-- Keeps what a worker's app declares of listeners, a JSON array of objects: name, event, task, args, options, delay, collapse,
-- collapse_on, declared_in. Answers as howdah.declare_schedules does.
create or replace function howdah.declare_listeners(listeners jsonb, packages text[]) returns table (name text, outcome text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with told as materialized (
        select d.name, _howdah.store_listener(d.name, d.event, d.task, coalesce(d.args, '{}'), coalesce(d.options, '{}'), d.delay,
                                              coalesce(d.collapse, false), d.collapse_on, d.declared_in) as outcome
        from (select e.* from jsonb_to_recordset(declare_listeners.listeners) e (
                  name text, event text, task text, args jsonb, options jsonb, delay interval, collapse boolean, collapse_on text,
                  declared_in text)
              order by e.name) d
    )
    select t.name, t.outcome from told t where t.outcome <> 'same';

    return query
    select l.name::text, 'vanished' from _howdah.listener l
    where l.declared_in = any (declare_listeners.packages)
      and not exists (select from jsonb_array_elements(declare_listeners.listeners) d where d ->> 'name' = l.name)
    order by l.name;
    update _howdah.listener l set vanished_at = _howdah.clock()
    where l.declared_in = any (declare_listeners.packages) and l.vanished_at is null
      and not exists (select from jsonb_array_elements(declare_listeners.listeners) d where d ->> 'name' = l.name);
end $$;
