-- A worker of the previous release goes on: it does not call these.
-- Of three functions that differ in the type of one argument PostgREST could call none: two of them get that argument without its name.
drop function if exists howdah.start_request(jsonb, jsonb, int, text);
drop function if exists howdah.start_request(text[], jsonb, int, text);
