-- Tells workers to leave: by id, name (or prefix*), host or version; at least one must be given. They claim no more, and hand back
-- what has not started. Returns how many were told; those told before count, but for a drain of one that was killed, which changes
-- nothing. Each worker is told for itself: one that starts later, under whatever name, is not affected.

-- What runs may end, however long it takes.
create or replace function howdah.drain(worker uuid default null, name text default null, host text default null,
                                        version text default null) returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.tell_workers('drain', $1, $2, $3, $4) $$;

-- What has not ended within the worker's shutdown_after is stopped and released, uncharged; at once with now, and when it is said
-- to the same worker a second time.
create or replace function howdah.kill(worker uuid default null, name text default null, host text default null,
                                       version text default null, now boolean default false) returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.tell_workers(case when $5 then 'now' else 'kill' end, $1, $2, $3, $4) $$;

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
        update _howdah.worker w
        set control = case when w.control in ('kill', 'now') then 'now' else tell_workers.control end
        where (tell_workers.control <> 'drain' or w.control in ('go', 'drain'))
          and (tell_workers.worker is null or w.id = tell_workers.worker)
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
