-- What callers say about a job's keys, as one JSON object, and what it comes to.
--   serial_key   jobs of one key run one at a time, in the order in which they were enqueued, whatever queue and task
--   collapse     waiting: at most one job of the serial key waits, whatever task and arguments; task: one of each queue and task
--   on_failure   block (default): a job that is to be tried again holds up its serial key; skip: the next ones go on
--   limit_keys   limits that it counts against: at most as many of each key run at once as howdah.put_limit says
--   unique_per   queue: the unique key holds within its queue; default: everywhere
--   unique_while unfinished (default), or waiting: until the job starts
--   unique_for   an interval: for so long from the enqueue, whatever becomes of the job
--   on_conflict  what becomes of the job that has the key already, if it waits: existing (default: nothing), replace (arguments, time
--                and priority), merge (arguments put together), or raise: refuse the new one
--   earlier      true: the earlier time of the two counts
--   after        {"id of a job": what if it fails: "fail", "skip" or "ignore"}: the job waits until all of these have ended

-- What is wrong with them, in words; NULL when nothing is.
create or replace function _howdah.keys_flaw(keys jsonb, unique_key text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    strange  text := (select k from jsonb_object_keys(keys_flaw.keys) k where k not in
                      ('serial_key', 'collapse', 'on_failure', 'limit_keys', 'unique_per', 'unique_while', 'unique_for', 'on_conflict', 'earlier', 'after') limit 1);
begin
    return case
        when strange is not null then format('a job has no field %L', strange)
        when keys ? 'after' and _howdah.after_flaw(keys -> 'after') is not null then _howdah.after_flaw(keys -> 'after')
        when octet_length(keys ->> 'serial_key') not between 1 and 200 then 'serial_key must be 1 to 200 bytes long'
        when keys ->> 'collapse' not in ('waiting', 'task') then format('collapse must be waiting or task, got %L', keys ->> 'collapse')
        when keys ->> 'on_failure' not in ('block', 'skip') then format('on_failure must be block or skip, got %L', keys ->> 'on_failure')
        when keys ->> 'unique_per' <> 'queue' then format('unique_per must be queue, got %L', keys ->> 'unique_per')
        when keys ->> 'unique_while' not in ('unfinished', 'waiting') then format('unique_while must be unfinished or waiting, got %L', keys ->> 'unique_while')
        when (keys ->> 'unique_for')::interval not between interval '1 ms' and interval '10 years' then 'unique_for must be positive and at most ten years'
        when keys ? 'unique_for' and keys ? 'unique_while' then 'give unique_for or unique_while, not both'
        when keys ->> 'on_conflict' not in ('existing', 'replace', 'merge', 'raise')
            then format('on_conflict must be existing, replace, merge or raise, got %L', keys ->> 'on_conflict')
        when keys ? 'limit_keys' and (jsonb_typeof(keys -> 'limit_keys') <> 'array' or jsonb_array_length(keys -> 'limit_keys') not between 1 and 6)
            then 'limit_keys must be a list of 1 to 6 keys'
        when exists (select from jsonb_array_elements(case when jsonb_typeof(keys -> 'limit_keys') = 'array' then keys -> 'limit_keys' end) k
                     where jsonb_typeof(k) <> 'string' or octet_length(k #>> '{}') not between 1 and 200 or k #>> '{}' ~ '[*[:cntrl:]]')
            then 'a limit key must be 1 to 200 bytes long, without * and control characters'
        when keys ->> 'serial_key' is null and (keys ? 'collapse' or keys ? 'on_failure') then 'collapse and on_failure need a serial_key'
        when unique_key is not null and keys ? 'collapse' then 'give unique_key or collapse, not both'
        when unique_key is null and (keys ? 'unique_per' or keys ? 'unique_while' or keys ? 'unique_for') then 'unique_per, unique_while and unique_for need a unique_key'
        when unique_key is null and not keys ? 'collapse' and (keys ? 'on_conflict' or keys ? 'earlier') then 'on_conflict and earlier need a unique_key or collapse'
    end;
end $$;

-- A key made from a template: `user:{user_id}` with the arguments' values. Refused when one is missing.
create or replace function _howdah.filled(template text, args jsonb) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp
as $$
declare
    made  text := (select string_agg(p.part[1] || case when p.part[2] is null then '' else args ->> p.part[2] end, '' order by p.place)
                   from regexp_matches(filled.template, '([^{]*)(?:\{([^{}]*)\})?', 'g') with ordinality p (part, place));
    lost  text := (select p.part[1] from regexp_matches(filled.template, '\{([^{}]*)\}', 'g') p (part) where args ->> p.part[1] is null limit 1);
begin
    if lost is not null then
        perform _howdah.refuse('JQ001', format('the key %L needs the argument %s', filled.template, lost), 'Nothing was enqueued. Give the argument.');
    end if;
    return made;
end $$;

-- The limits of a queue and a task, where they have any: keys queue:NAME and task:NAME.
create or replace function _howdah.limits_of(queue text, task text) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
begin
    return array(
        select k.key from (values ('queue:' || limits_of.queue), ('task:' || limits_of.task)) k (key)
        where exists (select from _howdah.limit l where l.name = k.key)
           or exists (select from _howdah.limit l where right(l.name, 1) = '*' and starts_with(k.key, left(l.name, -1))));
end $$;

-- The keys of one job: what the caller says, before what the task declares.
create or replace function _howdah.keys_of(task text, queue text, args jsonb, unique_key text, given jsonb, declared jsonb) returns _howdah.keys
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    said    jsonb := coalesce(given, '{}');
    whole   jsonb := coalesce(declared, '{}') || said;
    chosen  text := coalesce(keys_of.unique_key, case when not said ? 'collapse' then _howdah.filled(declared ->> 'unique_key', args) end);
    place   text := case when whole ->> 'unique_per' = 'queue' then queue || chr(31) else '' end || chosen;  -- no key of all queues is so
    limited boolean := _howdah.any_limits();
    k       _howdah.keys;
begin
    if declared is null and keys_of.unique_key is null and said - 'after' = '{}' and not limited then  -- it only waits for others
        k.waits := nullif(said ? 'after', false);
        return k;
    end if;
    if octet_length(place) > 200 and octet_length(chosen) <= 200 then
        place := encode(sha256(convert_to(place, 'UTF8')), 'hex') || chr(31);
    end if;
    k.serial_key := coalesce(said ->> 'serial_key', _howdah.filled(declared ->> 'serial_key', args));
    if whole ? 'limit_keys' or limited then
        k.limit_keys := array(
            select distinct l from (
                select jsonb_array_elements_text(said -> 'limit_keys') union all
                select _howdah.filled(t, args) from jsonb_array_elements_text(case when not said ? 'limit_keys' then declared -> 'limit_keys' end) t union all
                select unnest(_howdah.limits_of(queue, task)) where limited) l (l)
            order by l);
        k.limit_keys := nullif(k.limit_keys, '{}');
    end if;
    if limited then
        k.fair_key := translate(_howdah.filled((select q.fair_by from _howdah.queue q where q.name = keys_of.queue), args),
                                chr(1), chr(2));  -- as what parts a gate's name
    end if;
    k.hooks := nullif(case when k.serial_key is not null then 1 else 0 end + case when k.limit_keys is not null then 2 else 0 end
                      + case when k.fair_key is not null then 4 else 0 end + case when said ? 'member' then 32 else 0 end, 0);
    k.waits := nullif(said ?| array['after', 'member'], false);
    k.on_failure := case when whole ->> 'on_failure' = 'skip' then 'k' end;
    k.unique_for := (whole ->> 'unique_for')::interval;
    k.on_conflict := whole ->> 'on_conflict';
    k.earlier := (whole ->> 'earlier')::boolean;
    if k.unique_for is not null then
        k.until_key := place;
    elsif whole ->> 'unique_while' = 'waiting' then
        k.waiting_key := 'unique/' || place;
    else
        k.unique_key := place;
    end if;
    k.waiting_key := coalesce(k.waiting_key, case whole ->> 'collapse'
        when 'waiting' then 'serial/' || k.serial_key
        when 'task' then 'task/' || encode(sha256(convert_to(jsonb_build_array(k.serial_key, queue, task)::text, 'UTF8')), 'hex') end);
    if octet_length(k.serial_key) not between 1 and 200 or octet_length(chosen) not between 1 and 200
       or octet_length(k.fair_key) not between 1 and 200
       or (k.limit_keys is not null and exists (select from unnest(k.limit_keys) l where octet_length(l) not between 1 and 200 or strpos(l, chr(1)) > 0)) then
        perform _howdah.refuse('JQ001', format('a key of task %s is not 1 to 200 bytes long, or has control characters', task),
                               'Nothing was enqueued. Make it from other arguments.');
    end if;
    return k;
end $$;

-- Whether a job of this queue and task is limited, or the queue served in shares.
create or replace function _howdah.is_limited(queue text, task text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select _howdah.limits_of(is_limited.queue, is_limited.task) <> '{}'
        or exists (select from _howdah.queue q where q.name = is_limited.queue and q.fair_by is not null)
$$;

-- Whether any limit was ever put, or a queue served in shares: one read of a sequence's page.
create or replace function _howdah.any_limits() returns boolean
language sql volatile
return pg_catalog.pg_sequence_last_value('_howdah.has_limits'::regclass) is not null;

-- Whether a job of this task and queue gets keys by declaration or by limit.
create or replace function _howdah.is_keyed(task text, queue text) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    select coalesce((select t.keys is not null from _howdah.task t where t.name = is_keyed.task), false)
        or (_howdah.any_limits()
            and _howdah.is_limited(coalesce(is_keyed.queue, (select t.queue from _howdah.task t where t.name = is_keyed.task), 'default'), is_keyed.task))
$$;
