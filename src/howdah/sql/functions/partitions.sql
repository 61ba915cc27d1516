-- Partitions of history: UTC days, made 14 days ahead; dropped whole when the retention has passed.

create or replace function _howdah.day_partition(parent text, day date) returns text
language sql immutable parallel safe
return parent || '_' || pg_catalog.to_char(day, 'YYYYMMDD');

-- Attached rather than created in place: that takes no lock which a finish would wait for. A day that cannot be attached
-- now (its rows are in the default partition, or somebody holds a lock) is stepped over; the default partition serves.
-- Each attach reads all of the default partition, and from the first on finishes that go there wait for the commit: where much
-- has gathered in it, as where nobody did the chores for weeks, most is left for the next rounds.
create or replace function _howdah.make_partitions() returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' set datestyle = 'ISO, YMD' set timezone = 'UTC'
as $$
declare
    today   date := (_howdah.clock() at time zone 'UTC')::date;
    since   timestamptz;  -- of the first attach
    made    int := 0;
    parent  text;
    day     date;
    child   text;
begin
    foreach parent in array array['finished_succeeded', 'finished_failed', 'attempt', 'http_response'] loop
        for day in select d::date from generate_series(today, today + 14, interval '1 day') d loop
            child := _howdah.day_partition(parent, day);
            continue when to_regclass('_howdah.' || quote_ident(child)) is not null;
            begin
                exit when clock_timestamp() > since + interval '20 ms' and pg_relation_size(('_howdah.' || quote_ident(parent || '_default'))::regclass) > 8388608;
                execute format('create table _howdah.%I (like _howdah.%I including defaults including constraints)', child, parent);
                execute format('alter table _howdah.%I attach partition _howdah.%I for values from (%L) to (%L)', parent, child,
                               day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
                made := made + 1;
                since := coalesce(since, clock_timestamp());
            exception when lock_not_available or check_violation or invalid_object_definition then
                raise log 'howdah: partition % was not made: %', child, sqlerrm;
            end;
        end loop;
    end loop;
    return made;
end $$;

-- Drops days whose last moment is past the retention. A leaf is truncated first, then dropped: a plain drop would wait behind
-- one reader, and every finish behind the drop. What cannot be had at once is left for the next round.
-- After the first drop every finish waits for the commit: from then on nothing is waited for, and little more is done.
create or replace function _howdah.drop_partitions(retention interval, failed_retention interval) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set lock_timeout = '40ms' set datestyle = 'ISO, YMD' set timezone = 'UTC'
as $$
declare
    moment    timestamptz := _howdah.clock();
    since     timestamptz;  -- of the first drop
    dropped   int := 0;
    child     text;
begin
    for child in
        select c.relname
        from (values ('finished_succeeded', retention), ('finished_failed', failed_retention),
                     ('attempt', greatest(retention, failed_retention)),
                     ('http_response', greatest(retention, failed_retention))) kept (parent, span)
        join pg_inherits i on i.inhparent = ('_howdah.' || quote_ident(kept.parent))::regclass
        join pg_class c on c.oid = i.inhrelid
        where c.relname ~ '_\d{8}$' and to_date(right(c.relname, 8), 'YYYYMMDD') < ((moment - kept.span) at time zone 'UTC')::date
        order by right(c.relname, 8), c.relname
    loop
        exit when clock_timestamp() > since + interval '20 ms';
        begin
            execute format('truncate _howdah.%I', child);
            execute format('drop table _howdah.%I', child);
            dropped := dropped + 1;
            since := coalesce(since, clock_timestamp());
        exception when lock_not_available then
            raise log 'howdah: partition % was not dropped: %', child, sqlerrm;
        end;
        if since is not null then
            perform set_config('lock_timeout', '1ms', true);
        end if;
    end loop;
    return dropped;
end $$;

-- Drops old days, and the small leavings beside them, in bounded batches; what is left over is for the next round. The drops
-- come last, because a finish waits for them to be committed. Returns how many partitions and rows went.
create or replace function _howdah.prune() returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    kept    _howdah.setting := (select s from _howdah.setting s);
    longer  interval := greatest(kept.retention, kept.failed_retention);
    moment  timestamptz := _howdah.clock();
    done    bigint := 0;
    n       bigint;
begin
    for round in 1..10 loop
        with old as (
            delete from _howdah.given_id g where g.id in (
                select o.id from _howdah.given_id o
                where o.created_at < moment - longer - interval '1 day'
                  and not exists (select from _howdah.job j where j.id = o.id)
                  and not exists (select from _howdah.finished f where f.id = o.id)
                order by o.created_at limit 1000)
            returning 1
        ), ended as (  -- leases that nobody said were done with
            delete from _howdah.lease l where l.lease in (
                select o.lease from _howdah.lease o
                where o.claimed_at < moment - interval '1 min'
                  and not exists (select from unnest(o.ids) i (id) join _howdah.job j on j.id = i.id and j.lease = o.lease)
                order by o.claimed_at limit 1000)
            returning 1
        )
        select (select count(*) from old) + (select count(*) from ended) into n;
        n := n + _howdah.delete_old('finished_succeeded_default', kept.retention)
               + _howdah.delete_old('finished_failed_default', kept.failed_retention)
               + _howdah.delete_old('attempt_default', longer)
               + _howdah.delete_old('http_response_default', longer);
        done := done + n;
        exit when n = 0;
    end loop;
    delete from _howdah.tick t where t.fired_at < moment - longer;
    delete from _howdah.progress p
    where p.noted_at < moment - interval '1 min'
      and not exists (select from _howdah.job j where j.id = p.job_id and j.lease = p.lease);
    delete from _howdah.waiter w where w.until < moment;
    delete from _howdah.idle i where not exists (select from _howdah.worker w where w.id = i.worker);
    done := done + _howdah.prune_keys(1000) + _howdah.prune_workflows(10000) + _howdah.prune_edges(10000);
    perform _howdah.forget_watchers();  -- late: who begins to watch may wait for the commit
    return done + _howdah.drop_partitions(kept.retention, kept.failed_retention);
end $$;

-- Rows that had no partition of their own and are past the retention: some of them.
create or replace function _howdah.delete_old(part text, keep interval) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    n  bigint;
begin
    execute format('delete from _howdah.%1$I where ctid = any (array(
                        select o.ctid from _howdah.%1$I o where o.finished_at < $1 limit 2000))', part)
    using _howdah.clock() - keep;
    get diagnostics n = row_count;
    return n;
end $$;
