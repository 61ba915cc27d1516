-- What is wrong with arguments, in words; NULL when nothing is. All flaws are stable, without sub-selects: so they are planned
-- into the statement that asks, and cost a tenth of a call.
create or replace function _howdah.args_flaw(args jsonb) returns text
language sql stable parallel safe
return case
        when pg_catalog.jsonb_typeof(args) <> 'object'
            then 'args must be a JSON object of named arguments, got ' || pg_catalog.jsonb_typeof(args)
        when pg_catalog.pg_column_size(args) > 1048576
            then 'args are larger than 1 MiB (' || pg_catalog.pg_column_size(args) || ' bytes)'
        when pg_catalog.pg_column_size(args) >= 512  -- 65 nested containers take more
             and pg_catalog.jsonb_path_exists(args, 'strict $.**{64} ? (@.type() == "array" || @.type() == "object")')
            then 'args are nested more than 64 deep'
    end;

create or replace function _howdah.tags_flaw(tags text[]) returns text
language sql immutable parallel safe
return case
        when pg_catalog.cardinality(tags) > 32 then 'more than 32 tags'
        when exists (select from pg_catalog.unnest(tags) t where t is null or pg_catalog.length(t) not between 1 and 120)
            then 'a tag must be 1 to 120 characters long'
    end;

-- What is wrong with a job that is about to be enqueued, in words; NULL when nothing is.
create or replace function _howdah.flaw(
    task text, args jsonb, queue text, priority bigint, run_at timestamptz, delay interval, max_attempts bigint,
    timeout interval, no_timeout boolean, delivery text, unique_key text, headers jsonb, tags text[]
) returns text
language sql stable parallel safe
return coalesce(
    case
        when task is null or task = '' then 'a job needs a task name'
        when pg_catalog.length(task) > 120 then 'task name is longer than 120 characters'
        when pg_catalog.strpos(task, '*') > 0 then 'a task name cannot contain *, which marks a pattern'
        when queue is null then null
        when queue = '' then 'queue name is empty'
        when pg_catalog.length(queue) > 120 then 'queue name is longer than 120 characters'
        when pg_catalog.strpos(queue, '*') > 0 then 'a queue name cannot contain *, which marks a pattern'
    end,
    _howdah.args_flaw(args),
    case
        when priority not between -2147483648 and 2147483647
            then 'priority ' || priority || ' does not fit a 4-byte integer'
        when run_at is not null and delay is not null then 'give run_at or delay, not both'
        when run_at in ('infinity', '-infinity') then 'run_at is infinite'
        when run_at < '1970-01-01' or run_at > pg_catalog.now() + interval '10 years'
            then 'run_at must lie between 1970 and ten years from now'
        when delay < interval '0' then 'delay is negative'
        when delay > interval '10 years' then 'delay is longer than ten years'
        when max_attempts not between 1 and 10000 then 'max_attempts must lie between 1 and 10000'
        when no_timeout and timeout is not null then 'give timeout or no_timeout, not both'
        when timeout < interval '1 ms' then 'timeout must be positive (no_timeout => true means none)'
        when timeout > interval '1 year' then 'timeout is longer than a year (no_timeout => true means none)'
        when delivery not in ('at_least_once', 'at_most_once', 'transactional')
            then 'delivery must be at_least_once, at_most_once or transactional, got ' || pg_catalog.quote_literal(delivery)
        when pg_catalog.octet_length(unique_key) not between 1 and 200 then 'unique_key must be 1 to 200 bytes long'
        when pg_catalog.jsonb_typeof(headers) <> 'object' then 'headers must be a JSON object'
        when pg_catalog.pg_column_size(headers) > 65536 then 'headers are larger than 64 KiB'
        when tags is not null then _howdah.tags_flaw(tags)
    end);

-- Why a batch cannot be stored as it is; NULL: it can. `bad` is the place of the first args that have a flaw.
create or replace function _howdah.batch_flaw(
    task text, ids uuid[], args jsonb[], bad bigint, queue text, priority bigint, run_at timestamptz, delay interval, max_attempts bigint,
    timeout interval, no_timeout boolean, delivery text, headers jsonb, tags text[]
) returns text
language sql stable parallel safe
return coalesce(
    _howdah.flaw(task, null, queue, priority, run_at, delay, max_attempts, timeout, no_timeout, delivery, null, headers, tags),
    case
        when ids is null or pg_catalog.cardinality(ids) is distinct from pg_catalog.cardinality(args) then 'ids and args differ in length'
        when pg_catalog.cardinality(ids) > 10000 then pg_catalog.cardinality(ids) || ' jobs in one call, at most 10,000 are taken'
        when pg_catalog.array_position(ids, null) is not null or pg_catalog.array_position(args, null) is not null
            then 'an id, or the args of one, are NULL'
        when bad is not null then pg_catalog.format('job %s of the batch: %s', bad, _howdah.args_flaw(args[bad]))
    end);
