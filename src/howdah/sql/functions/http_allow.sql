-- Lets URL jobs reach an origin that is not of the public internet, or the paths below one of its own:
-- howdah.http_allow('https://app.internal:8443/jobs/'). False: that was allowed already.
create or replace function howdah.http_allow(url text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    target  _howdah.http_target := _howdah.http_target_of(http_allow.url);
begin
    insert into _howdah.http_target (scheme, host, port, path, created_at)
    values (target.scheme, target.host, target.port, target.path, _howdah.clock())
    on conflict do nothing;
    return found;
end $$;

-- Takes that back. False: it was not allowed by this very URL.
create or replace function howdah.http_disallow(url text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    target  _howdah.http_target := _howdah.http_target_of(http_disallow.url);
begin
    delete from _howdah.http_target t
    where t.scheme = target.scheme and t.host = target.host and t.port = target.port and t.path = target.path;
    return found;
end $$;

-- Origin and path of a URL that is to be allowed.
create or replace function _howdah.http_target_of(url text) returns _howdah.http_target
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    flaw    text := _howdah.url_flaw(url);
    parts   text[] := regexp_match(url, '^(https?)://(\[[^\]]+\]|[^/?#:]+)(?::([0-9]+))?([^?#]*)(.*)$', 'i');
    target  _howdah.http_target;
begin
    flaw := case
        when flaw is not null then flaw
        when parts[5] <> '' then 'a query or fragment cannot be allowed by itself'
        when parts[4] ~* '(^|/)(\.|%2e){1,2}(/|$)' or parts[4] ~* '%2f|%5c' then 'a path with . or .. in it cannot be allowed'
        when parts[3]::int not between 1 and 65535 then 'a port lies between 1 and 65535'
        when parts[2] !~ '^[!-~]+$' then 'a host is written in ASCII: its xn-- form'
    end;
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Allow an origin, or paths below one: https://app.internal:8443/jobs/');
    end if;
    target.scheme := lower(parts[1]);
    target.host := lower(trim(both '[]' from rtrim(parts[2], '.')));
    target.port := coalesce(parts[3]::int, case lower(parts[1]) when 'https' then 443 else 80 end);
    target.path := coalesce(nullif(parts[4], ''), '/');
    if target.host ~ ':' or target.host ~ '^[0-9.]+$' then
        target.host := host(target.host::inet);  -- one form of each address
    end if;
    return target;
end $$;

-- All that is allowed.
create or replace function howdah.http_targets() returns table (scheme text, host text, port int, path text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select t.scheme, t.host::text, t.port, t.path::text from _howdah.http_target t order by t.scheme, t.host, t.port, t.path $$;
