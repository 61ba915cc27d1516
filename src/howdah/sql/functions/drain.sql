-- Tells workers to finish what they run and leave (drain), or to stop at once and hand back (kill): by id, name pattern, host
-- or version; at least one must be given. Returns how many were told. Workers that start later are not affected.
create or replace function howdah.drain(worker uuid default null, name text default null, host text default null,
                                        version text default null) returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.tell_workers('drain', $1, $2, $3, $4) $$;

create or replace function howdah.kill(worker uuid default null, name text default null, host text default null,
                                       version text default null) returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.tell_workers('kill', $1, $2, $3, $4) $$;

create or replace function _howdah.tell_workers(control text, worker uuid, name text, host text, version text) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    told  text[];
begin
    if num_nonnulls(tell_workers.worker, tell_workers.name, tell_workers.host, tell_workers.version) = 0 then
        perform _howdah.refuse('JQ001', 'no worker was named', 'Give an id, a name (or prefix*), a host or a version; name => ''*'' means all.');
    end if;
    with hit as (
        update _howdah.worker w set control = tell_workers.control
        where w.control <> 'kill' and (tell_workers.worker is null or w.id = tell_workers.worker)
          and (tell_workers.name is null or w.name like any (_howdah.like_patterns(array[tell_workers.name])))
          and (tell_workers.host is null or w.host = tell_workers.host)
          and (tell_workers.version is null or w.version = tell_workers.version)
        returning left(w.id::text, 8) as short
    )
    select array_agg(hit.short) into told from hit;
    if told is not null then
        perform pg_notify(_howdah.channel(), 'c' || array_to_string(told[1:500], ','));
    end if;
    return coalesce(cardinality(told), 0);
end $$;
