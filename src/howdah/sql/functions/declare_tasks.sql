-- Keeps what a worker's app declares of its tasks, so that jobs enqueued from SQL get the same defaults. A JSON array of
-- objects: name, queue, priority, max_attempts, timeout_ms (0: none), delivery, first_ms, factor, longest_ms, jitter,
-- parameters, keys (templates, as {"serial_key": "account:{id}"}: keys.sql). Returns how many were new or changed.
create or replace function howdah.declare_tasks(tasks jsonb) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    changed  int;
begin
    if jsonb_typeof(declare_tasks.tasks) is distinct from 'array'
       or exists (select from jsonb_array_elements(declare_tasks.tasks) d
                  where _howdah.flaw(d ->> 'name', null, d ->> 'queue', null, null, null, (d ->> 'max_attempts')::int, null, null,
                                     d ->> 'delivery', null, null, null) is not null
                     or (jsonb_typeof(d -> 'keys') <> 'null' and _howdah.declared_keys_flaw(d -> 'keys') is not null)
                     or (d ->> 'timeout_ms')::numeric not between 0 and 31622400000
                     or (d ->> 'first_ms')::numeric not between 0 and 31622400000
                     or (d ->> 'longest_ms')::numeric not between 0 and 31622400000
                     or (d ->> 'factor')::numeric not between 1 and 1000
                     or (d ->> 'jitter')::numeric not between 0 and 1) then
        perform _howdah.refuse('JQ001', 'a declaration is none',
            'Give a JSON array of objects, each with a name; times up to a year, factor 1 to 1000, jitter 0 to 1.');
    end if;
    insert into _howdah.task as t
        (name, queue, priority, max_attempts, timeout_ms, delivery, first_ms, factor, longest_ms, jitter, parameters, keys, declared_at)
    select distinct on (d.name) d.name, d.queue, d.priority, d.max_attempts, d.timeout_ms, _howdah.delivery_code(d.delivery), coalesce(d.first_ms, 3000),
           coalesce(d.factor, 2), coalesce(d.longest_ms, 3600000), coalesce(d.jitter, 0.1), d.parameters, d.keys, _howdah.clock()
    from rows from (jsonb_to_recordset(declare_tasks.tasks) as (
        name text, queue text, priority int, max_attempts int, timeout_ms bigint, delivery text, first_ms bigint, factor float8,
        longest_ms bigint, jitter float8, parameters jsonb, keys jsonb)) with ordinality
        d (name, queue, priority, max_attempts, timeout_ms, delivery, first_ms, factor, longest_ms, jitter, parameters, keys, place)
    order by d.name, d.place desc
    on conflict (name) do update
    set queue = excluded.queue, priority = excluded.priority, max_attempts = excluded.max_attempts,
        timeout_ms = excluded.timeout_ms, delivery = excluded.delivery, first_ms = excluded.first_ms, factor = excluded.factor,
        longest_ms = excluded.longest_ms, jitter = excluded.jitter, parameters = excluded.parameters,
        keys = excluded.keys, declared_at = excluded.declared_at
    where (t.queue, t.priority, t.max_attempts, t.timeout_ms, t.delivery, t.first_ms, t.factor, t.longest_ms, t.jitter, t.parameters, t.keys)
          is distinct from (excluded.queue, excluded.priority, excluded.max_attempts, excluded.timeout_ms, excluded.delivery,
                            excluded.first_ms, excluded.factor, excluded.longest_ms, excluded.jitter, excluded.parameters, excluded.keys);
    get diagnostics changed = row_count;
    return changed;
end $$;

-- What is wrong with the keys that a task declares; NULL when nothing is. Beside what jobs may say, it names its unique key.
create or replace function _howdah.declared_keys_flaw(keys jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return case when jsonb_typeof(keys) <> 'object' then 'keys must be a JSON object'
                else _howdah.keys_flaw(keys - 'unique_key', keys ->> 'unique_key') end;
end $$;
