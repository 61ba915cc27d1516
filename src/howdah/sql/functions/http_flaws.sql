-- What is wrong with a URL job, in words; NULL when nothing is. A worker looks again, and closer, at each attempt.
create or replace function _howdah.url_flaw(url text) returns text
language sql immutable parallel safe
return case
        when url is null or url = '' then 'a URL job needs a URL'
        when pg_catalog.length(url) > 8192 then 'Invalid URL: it is longer than 8192 characters'
        when url ~ '[[:space:][:cntrl:]\\"<>^`{|}]'
            then 'Invalid URL ' || pg_catalog.quote_literal(url) || ': it holds white space or other characters that are to be percent-encoded'
        when url !~* '^https?://'
            then 'Invalid URL ' || pg_catalog.quote_literal(url) || ': it must begin with https:// or http://'
        when url ~ '^[^:]+://[^/?#]*@'
            then 'Invalid URL: a user name or password may not stand in it; send them in a header'
        when url !~ '^[^:]+://(\[[0-9A-Fa-f:.]+\]|[^/?#:\[\]]+)(:[0-9]{1,5})?([/?#]|$)'
            then 'Invalid URL ' || pg_catalog.quote_literal(url) || ': it names no host, or a port that is none'
    end;

-- Names are tokens; values are text, {"secret": name, "prefix": text}, or an array of these where a header is to be repeated.
create or replace function _howdah.http_headers_flaw(headers jsonb) returns text
language sql immutable parallel safe
return case
        when headers is null then null
        when pg_catalog.jsonb_typeof(headers) <> 'object' then 'headers must be a JSON object, got ' || pg_catalog.jsonb_typeof(headers)
        when pg_catalog.pg_column_size(headers) > 32768 then 'headers are larger than 32 KiB'
        else (
            select case
                    when h.name !~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]{1,128}$' then 'header name ' || pg_catalog.quote_literal(h.name) || ' is none'
                    when pg_catalog.lower(h.name) ~ '^(host|content-length|transfer-encoding|connection|keep-alive|proxy-.*|te|trailer|upgrade|expect|accept-encoding|content-encoding|http2-settings|howdah-.*)$'
                        then 'header ' || h.name || ' is not the caller''s to set'
                    else 'header ' || h.name || ' must be text without control characters, {"secret": name}, or an array of these'
                end
            from pg_catalog.jsonb_each(headers) h (name, value)
            where h.name !~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]{1,128}$'
               or pg_catalog.lower(h.name) ~ '^(host|content-length|transfer-encoding|connection|keep-alive|proxy-.*|te|trailer|upgrade|expect|accept-encoding|content-encoding|http2-settings|howdah-.*)$'
               or exists (
                    select from pg_catalog.jsonb_array_elements(
                        case when pg_catalog.jsonb_typeof(h.value) = 'array' then h.value else pg_catalog.jsonb_build_array(h.value) end) v (one)
                    where not case pg_catalog.jsonb_typeof(v.one)
                                when 'string' then (v.one #>> '{}') !~ '[\x01-\x08\x0A-\x1F\x7F]'
                                when 'object' then coalesce(v.one ->> 'secret' ~ '^[A-Za-z][A-Za-z0-9_-]{0,59}$', false)
                                                   and v.one - 'secret' - 'prefix' = '{}'
                                                   and coalesce(v.one ->> 'prefix', '') !~ '[\x01-\x08\x0A-\x1F\x7F]'
                                else false end)
            order by h.name limit 1)
    end;

create or replace function _howdah.http_flaw(
    method text, url text, data jsonb, headers jsonb, timeout interval, form jsonb, body bytea, retry_on int[], fail_on int[],
    sign text, max_response bigint, redirects int
) returns text
language sql immutable parallel safe
return coalesce(
    _howdah.url_flaw(url),
    _howdah.http_headers_flaw(headers),
    case
        when pg_catalog.upper(method) not in ('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS')
            then 'method ' || pg_catalog.quote_literal(method) || ' is not GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS'
        when pg_catalog.num_nonnulls(data, form, body) > 1 then 'give one of data, form and body'
        when pg_catalog.upper(method) in ('GET', 'HEAD') and pg_catalog.num_nonnulls(data, form, body) > 0
            then 'a ' || pg_catalog.upper(method) || ' request has no body'
        when pg_catalog.jsonb_typeof(form) <> 'object' then 'form must be a JSON object of text, numbers, truths, or arrays of these'
        when form is not null and pg_catalog.jsonb_path_exists(form, '$.* ? (@.type() == "object" || @.type() == "null")')
            then 'form must be a JSON object of text, numbers, truths, or arrays of these'
        when pg_catalog.octet_length(body) > 786432 then 'body is larger than 768 KiB'
        when timeout > interval '1 day' then 'timeout of a URL job is longer than a day'
        when exists (select from pg_catalog.unnest(retry_on || fail_on) s where s is null or not (s between 1 and 5 or s between 100 and 599))
            then 'retry_on and fail_on hold statuses from 100 to 599, or 1 to 5 for a whole hundred (5: 500 to 599)'
        when sign !~ '^[A-Za-z][A-Za-z0-9_-]{0,59}$' then 'sign names a secret: letters, digits, _ and -, 60 at most'
        when max_response not between 0 and 67108864 then 'max_response must lie between 0 and 64 MiB'
        when redirects not between 0 and 10 then 'redirects must lie between 0 and 10'
    end);
