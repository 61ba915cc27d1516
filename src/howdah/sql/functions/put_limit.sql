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
    insert into _howdah.pending (kind, key) values ('p', chr(1) || limit_changed.name);
    if _howdah.anybody_idle() then
        perform _howdah.wake_for(null, keys[:1000]);
    end if;
end $$;

-- Limits that were put a moment ago, at once and when all transactions have ended which may have gone by the limit of before: what they left is
-- to go by it, too. A note says since when (the first transaction that saw the limit), chr(1), and the name.
create or replace function _howdah.apply_again(notes text[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    flying   pg_snapshot := pg_current_snapshot();
    put      record;
    is_last  boolean;
begin
    if current_setting('transaction_isolation') <> 'read committed' then  -- what it would change may have changed since its snapshot
        insert into _howdah.pending (kind, key) select 'p', n from unnest(apply_again.notes) n;
        return;
    end if;
    for put in
        select substr(n, strpos(n, chr(1)) + 1) as name, max(nullif(split_part(n, chr(1), 1), '')::numeric)::text::xid8 as since,
               bool_or(strpos(n, chr(1)) = 1) as is_new
        from unnest(apply_again.notes) n group by 1 order by 1
    loop
        if put.is_new then
            put.since := pg_snapshot_xmax(flying);
        end if;
        is_last := not exists (select from pg_snapshot_xip(flying) x where x < put.since and x <> pg_current_xact_id());
        if put.is_new or is_last then
            perform _howdah.apply_limit(put.name);
        end if;
        if not is_last or _howdah.is_unapplied(put.name) then
            insert into _howdah.pending (kind, key, due)
            values ('p', put.since::text || chr(1) || put.name, _howdah.clock() + case when put.is_new then interval '50 ms' else interval '1 s' end);
        end if;
    end loop;
end $$;

-- Whether somebody had a job locked that is to go by a limit of its queue or task, or to go back to wait.
create or replace function _howdah.is_unapplied(name text) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    fits  text := (_howdah.like_patterns(array[is_unapplied.name]))[1];
begin
    return _howdah.is_over(fits)
        or (exists (select from _howdah.limit l where l.name = is_unapplied.name) and _howdah.is_unknown(fits));
end $$;

-- Whether a job does not know of a limit of its queue or task.
create or replace function _howdah.is_unknown(fits text) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = on
as $$
#variable_conflict use_column
declare
    kind  text;
begin
    foreach kind in array _howdah.kinds_of(fits) loop
        if exists (select from _howdah.job j where kind || case kind when 'queue:' then j.queue else j.task end like fits
                   and kind || case kind when 'queue:' then j.queue else j.task end <> all (coalesce(j.limit_keys, '{}'))) then
            return true;
        end if;
    end loop;
    return false;
end $$;

-- Whether more jobs were let in, and have not started, than may start.
create or replace function _howdah.is_over(fits text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return exists (
        select from _howdah.rooms(array(select distinct p.key::text from _howdah.place p where p.key like fits)) r
        join _howdah.place p on p.key = r.key join _howdah.job j on j.id = p.job_id
        where r.free < 0 and j.state <> 'x');
end $$;

-- The limits that anybody waits for. A name that begins with chr(1) is that of a share.
create or replace function _howdah.waited_for(fits text) returns text[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return array(select distinct j.waits_for::text from _howdah.job j
                 where j.state = 'b' and j.waits_for is not null and j.waits_for like fits and left(j.waits_for, 1) <> chr(1));
end $$;

-- Has the jobs that are there go by a limit as it is now, and whoever waits for it looked at anew. Returns the keys of those that wait.
create or replace function _howdah.apply_limit(name text) returns text[]
language plpgsql volatile set search_path = pg_catalog, pg_temp
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
    keys := _howdah.waited_for(fits);
    perform _howdah.note('l', keys);
    return keys;
end $$;

-- Of queues and tasks, those that it speaks of; of others no job need be looked at.
create or replace function _howdah.kinds_of(fits text) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select array(select k from unnest(array['queue:', 'task:']) k where kinds_of.fits like k || '%' or k like kinds_of.fits) $$;

-- Jobs that were let in, and have not started, go back to wait where there are more of them than may start now: last come first. Whom
-- somebody has locked is not waited for: a claim may have it.
create or replace function _howdah.send_back(fits text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
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

-- Jobs that are there already when a queue or a task gets its limit: those that wait are to be let in; those that run have places. Whom somebody
-- has locked is not waited for.
create or replace function _howdah.limit_jobs(fits text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = on set enable_hashjoin = on set plan_cache_mode = auto
as $$
#variable_conflict use_column
declare
    kind   text;
    name   text;
    ready  uuid[];
begin
    foreach kind in array _howdah.kinds_of(limit_jobs.fits) loop
        for name in
            select distinct case kind when 'queue:' then j.queue else j.task end from _howdah.job j
            where kind || case kind when 'queue:' then j.queue else j.task end like limit_jobs.fits
        loop
            with mine as materialized (
                select j.id from _howdah.job j
                where case kind when 'queue:' then j.queue else j.task end = name and kind || name <> all (coalesce(j.limit_keys, '{}'))
                for update skip locked
            ), changed as (
                update _howdah.job j
                set limit_keys = array(select l from unnest(j.limit_keys || (kind || name)) l order by l), hooks = coalesce(j.hooks, 0) | 2
                from mine m where j.id = m.id
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
