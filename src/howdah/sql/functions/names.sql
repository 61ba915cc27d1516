-- The words for what the store keeps as letters and numbers, and back.
create or replace function _howdah.state_name(state "char") returns text
language sql immutable parallel safe
return case state when 's' then 'scheduled' when 'b' then 'blocked' when 'w' then 'blocked' when 'r' then 'ready' when 'x' then 'running'
                      when 'S' then 'succeeded' when 'F' then 'failed' when 'C' then 'cancelled' end;

create or replace function _howdah.delivery_name(delivery "char") returns text
language sql immutable parallel safe
return case delivery when 'm' then 'at_most_once' when 't' then 'transactional' else 'at_least_once' end;

-- NULL for the default, at least once, which costs no byte in the row.
create or replace function _howdah.delivery_code(delivery text) returns "char"
language sql immutable parallel safe
return (case delivery when 'at_most_once' then 'm' when 'transactional' then 't' end)::"char";

create or replace function _howdah.to_ms(span interval) returns bigint
language sql immutable parallel safe
return (extract(epoch from span) * 1000)::bigint;

-- Milliseconds as stored (NULL: 60 s, 0: none) to a span (NULL: none).
create or replace function _howdah.timeout_span(timeout_ms bigint) returns interval
language sql immutable parallel safe
return case when timeout_ms is null then interval '60 s'
                  when timeout_ms > 0 then pg_catalog.make_interval(secs => timeout_ms / 1000.0) end;

-- Patterns of queue and task names: `mail`, `mail.*`, `*`; anything but the trailing star is literal.
create or replace function _howdah.like_patterns(patterns text[]) returns text[]
language sql immutable parallel safe
return (select coalesce(pg_catalog.array_agg(
        case when pg_catalog.right(p, 1) = '*'
             then pg_catalog.regexp_replace(pg_catalog.left(p, -1), '([\\%_])', '\\\1', 'g') || '%'
             else pg_catalog.regexp_replace(p, '([\\%_])', '\\\1', 'g') end), '{}')
    from pg_catalog.unnest(patterns) p);

-- Of all notifications of this schema: any queue name works, for none is part of it.
create or replace function _howdah.channel() returns text
language sql immutable parallel safe
return 'howdah_' || pg_catalog.left(pg_catalog.md5('_howdah.'), 16);
