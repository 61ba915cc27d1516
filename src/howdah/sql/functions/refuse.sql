-- Our errors: SQLSTATE class JQ, what was wrong, and what to do.
--   JQ001 bad input   JQ002 lease lost   JQ003 conflict   JQ004 not found   JQ005 worker unknown
create or replace function _howdah.refuse(code text, message text, hint text) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using errcode = code, message = message, hint = hint;
end $$;
