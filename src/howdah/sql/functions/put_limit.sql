-- At most `n` jobs of this key run at once, in the whole fleet; NULL takes the limit away. Keys are those that jobs name
-- (limit_keys), and queue:NAME and task:NAME, which no job need name. A trailing * speaks for all keys that begin so. Holds at once: what runs
-- already is counted, and not stopped; what was let in and has not started goes back to wait.
create or replace function howdah.put_limit(key text, n int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = on
as $$
#variable_conflict use_column
begin
    perform _howdah.check_limit_key(put_limit.key);
    if put_limit.n not between 0 and 1000000 then
        perform _howdah.refuse('JQ001', format('%s is no limit', put_limit.n), 'Give 0 to 1000000, or NULL to take it away.');
    end if;
    insert into _howdah.limit as l (name, most, created_at) values (put_limit.key, put_limit.n, _howdah.clock())
    on conflict (name) do update set most = excluded.most;
    perform _howdah.limit_changed(put_limit.key);
end $$;

create or replace function _howdah.check_limit_key(key text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if key is null or octet_length(key) not between 1 and 200 or strpos(left(key, -1), '*') > 0 then
        perform _howdah.refuse('JQ001', 'a limit needs a key of 1 to 200 bytes', 'For example tenant:a, tenant:*, queue:mail or task:jobs.send.');
    end if;
end $$;

-- A limit was put, changed or taken away.
create or replace function _howdah.limit_changed(name text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    keys  text[];
begin
    delete from _howdah.limit l where l.name = limit_changed.name and l.most is null and l.rate is null;
    if not found then
        perform nextval('_howdah.has_limits');
    end if;
    keys := _howdah.apply_limit(limit_changed.name);
    if _howdah.anybody_idle() then
        perform _howdah.wake_for(null, keys[:1000]);
    end if;
end $$;

-- Has the jobs that are there go by a limit as it is now, and whoever waits for it looked at anew. Returns the keys of those that wait.
create or replace function _howdah.apply_limit(name text) returns text[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = on set enable_sort = on
as $$
#variable_conflict use_column
declare
    fits  text := (_howdah.like_patterns(array[apply_limit.name]))[1];
    keys  text[];
begin
    if exists (select from _howdah.limit l where l.name = apply_limit.name) then
        perform _howdah.limit_jobs(fits);
    end if;
    perform _howdah.reserve_starts(fits);
    perform _howdah.send_back(fits);
    keys := array(select distinct j.waits_for::text from _howdah.job j  -- a name that begins with chr(1) is no limit's
                  where j.state = 'b' and j.waits_for like fits and left(j.waits_for, 1) <> chr(1));
    perform _howdah.note('l', keys);
    return keys;
end $$;

-- Jobs that were let in, and have not started, go back to wait where there are more of them than may start now: last come first. Whom
-- somebody has locked is not waited for: a claim may have it.
create or replace function _howdah.send_back(fits text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    over  record;
begin
    for over in
        select r.key, -r.free as n from _howdah.rooms(array(select distinct p.key::text from _howdah.place p where p.key like send_back.fits)) r where r.free < 0
    loop
        perform _howdah.make_ready(array(
            select j.id from _howdah.place p join _howdah.job j on j.id = p.job_id
            where p.key = over.key and j.state <> 'x'
            order by j.state = 'r', j.priority, j.seq desc limit over.n for update of j skip locked), front => true);
    end loop;
end $$;

-- Jobs that are there already when a queue or a task gets its limit: those that wait are to be let in; those that run have places.
create or replace function _howdah.limit_jobs(fits text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    kind   text;
    name   text;
    ready  uuid[];
begin
    foreach kind in array array['queue:', 'task:'] loop
        continue when not (limit_jobs.fits like kind || '%' or kind like limit_jobs.fits);  -- it speaks of others: no look at all jobs
        for name in
            select distinct case kind when 'queue:' then j.queue else j.task end from _howdah.job j
            where kind || case kind when 'queue:' then j.queue else j.task end like limit_jobs.fits
        loop
            with changed as (
                update _howdah.job j
                set limit_keys = array(select l from unnest(j.limit_keys || (kind || name)) l order by l), hooks = coalesce(j.hooks, 0) | 2
                where case kind when 'queue:' then j.queue else j.task end = name and kind || name <> all (coalesce(j.limit_keys, '{}'))
                returning j.id, j.state, j.seq, j.waits_for
            ), running as (
                insert into _howdah.place (key, job_id) select kind || name, c.id from changed c where c.state = 'x'
            )
            select array_agg(c.id order by c.seq) into ready from changed c where c.state = 'r' or left(c.waits_for, 1) = chr(1);
            perform _howdah.make_ready(ready);
            perform _howdah.note('l', array[kind || name]);
        end loop;
    end loop;
end $$;

-- Jobs which a claim is about to take although their queue or task has a limit that they do not know of: their enqueue was under way when it
-- was put, and did not see it. They go back, to wait for it. Returns their rows, as they were; NULL: there are none.
create or replace function _howdah.limit_late(rows tid[]) returns tid[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    late  record;
begin
    with picked as materialized (
        select j.ctid as row, j.id, j.queue::text as queue, j.task::text as task, j.limit_keys from _howdah.job j where j.ctid = any (limit_late.rows)
    ), limited as materialized (
        select d.queue, d.task, _howdah.limits_of(d.queue, d.task) as keys from (select distinct p.queue, p.task from picked p) d
    )
    select array_agg(p.row) as rows, array_agg(p.id) as ids, array_agg(l.keys::text) as keys into late
    from picked p join limited l on l.queue = p.queue and l.task = p.task
    where l.keys <> '{}' and not (l.keys <@ coalesce(p.limit_keys, '{}'));
    if late.ids is not null then
        update _howdah.job j
        set limit_keys = array(select distinct k from unnest(j.limit_keys || l.keys::text[]) k order by k), hooks = coalesce(j.hooks, 0) | 2
        from unnest(late.ids, late.keys) l (id, keys) where j.id = l.id;
        perform _howdah.make_ready(late.ids);
    end if;
    return late.rows;
end $$;
