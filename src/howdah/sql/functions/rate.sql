-- Rates: in any span of `per` at most `rate` jobs of a key start, and at most `burst` of them in any span of per * burst / rate. A claim is the
-- start. Admission lets in as many as may start now; the claim, under the lock of the key, decides.

-- The rate of a key: its own, else that of the longest pattern; NULLs: it has none.
create or replace function _howdah.rate_of(key text) returns _howdah.rate
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
    r  _howdah.rate;
begin
    select l.rate, l.per, l.burst into r from _howdah.limit l where l.name = rate_of.key and l.rate is not null;
    if not found then
        select l.rate, l.per, l.burst into r from _howdah.limit l
        where l.rate is not null and right(l.name, 1) = '*' and starts_with(rate_of.key, left(l.name, -1)) order by length(l.name) desc limit 1;
    end if;
    return r;
end $$;

-- How many may start now; NULL: the key has no rate.
create or replace function _howdah.starts_left(key text, at timestamptz default null) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
    r       _howdah.rate := _howdah.rate_of(starts_left.key);
    moment  timestamptz := coalesce(starts_left.at, _howdah.clock());
begin
    return case when r.rate is not null then
        least(r.rate - (select coalesce(sum(s.n), 0) from _howdah.start s where s.key = starts_left.key and s.at > moment - r.per),
              r.burst - (select coalesce(sum(s.n), 0) from _howdah.start s
                         where s.key = starts_left.key and s.at > moment - r.per * r.burst / r.rate)) end;
end $$;

-- When one more may start beside those that are reserved: let in, and not started; NULL: now, or no time brings it, or the key has no rate.
create or replace function _howdah.next_start(key text, reserved bigint default 0) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
    r       _howdah.rate := _howdah.rate_of(next_start.key);
    moment  timestamptz := _howdah.clock();
begin
    return (
        select max(t.free_at)
        from (values (r.rate, r.per), (r.burst, r.per * r.burst / r.rate)) bound (most, span)
        cross join lateral (
            select s.at + bound.span as free_at
            from (select o.at, sum(o.n) over (order by o.at desc) as later from _howdah.start o
                  where o.key = next_start.key and o.at > moment - bound.span) s
            where s.later >= bound.most - next_start.reserved order by s.at desc limit 1) t);
end $$;

-- Has the key looked at when its next job may be let in, if jobs wait for that and nobody looks before. Under the lock of the key.
create or replace function _howdah.note_rate(key text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
    at  timestamptz;
begin
    if not exists (select from _howdah.job j where j.state = 'b' and j.waits_for = note_rate.key) then
        return;
    end if;
    if _howdah.free_places(note_rate.key) > 0 then
        perform _howdah.note('l', array[note_rate.key]);
        return;
    end if;
    at := _howdah.next_start(note_rate.key, (select count(*) from _howdah.place p where p.key = note_rate.key and p.unstarted));
    if at is not null and not exists (select from _howdah.pending p where p.key = note_rate.key and p.due <= at and p.kind = 'l') then
        insert into _howdah.pending (kind, key, due) values ('l', note_rate.key, at);
    end if;
end $$;

-- Counts the starts of these jobs, which a claim is about to take, against the rates of their keys; returns the rows that may not start
-- yet, because somebody was faster or the key is locked: they go back, to wait for it. The moment is what attempts will say: the bound holds
-- for these times. Who is late is decided over all keys before any start is counted: a job that is late for one starts for none.
create or replace function _howdah.not_yet(rows tid[], moment timestamptz) returns tid[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    rated   record;
    locked  text[];
    late    record;
begin
    locked := _howdah.lock_gates(array(
        select distinct p.key::text from _howdah.job j join _howdah.place p on p.job_id = j.id and p.unstarted
        where j.ctid = any (not_yet.rows) and j.hooks is not null));
    with started as materialized (
        select p.key, j.ctid as row, j.id, row_number() over (partition by p.key order by j.priority desc, j.seq) as nth
        from _howdah.job j join _howdah.place p on p.job_id = j.id and p.unstarted
        where j.ctid = any (not_yet.rows) and j.hooks is not null
    ), free as materialized (
        select k as key, coalesce(_howdah.starts_left(k, not_yet.moment), 10000) as n from unnest(locked) k
    )
    select array_agg(distinct s.row) as rows, array_agg(distinct s.id) as ids into late
    from started s left join free f on f.key = s.key where s.nth > coalesce(f.n, 0);

    for rated in
        select p.key, array_agg(j.id) as ids
        from _howdah.job j join _howdah.place p on p.job_id = j.id and p.unstarted
        where j.ctid = any (not_yet.rows) and j.hooks is not null and j.id <> all (coalesce(late.ids, '{}'))
        group by p.key
    loop
        insert into _howdah.start (key, at, n) values (rated.key, not_yet.moment, cardinality(rated.ids));
        delete from _howdah.start s where s.key = rated.key and s.at <= not_yet.moment - (_howdah.rate_of(rated.key)).per;
        update _howdah.place p set unstarted = null where p.key = rated.key and p.job_id = any (rated.ids);
        perform _howdah.note_rate(rated.key);
    end loop;
    if late.ids is not null then
        perform _howdah.make_ready(late.ids, front => true);
    end if;
    return late.rows;
end $$;

-- Which places are reserved starts: of jobs that were let in and have not started, while their key has a rate. Who holds the job alone
-- changes its places; whom somebody has locked is not waited for.
create or replace function _howdah.reserve_starts(fits text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    with changed as materialized (
        select p.key, p.job_id, case when r.is_rated and j.state <> 'x' then true end as unstarted
        from _howdah.place p join _howdah.job j on j.id = p.job_id
        cross join lateral (select (_howdah.rate_of(p.key)).rate is not null as is_rated) r
        where p.key like reserve_starts.fits and p.unstarted is distinct from case when r.is_rated and j.state <> 'x' then true end
        for update of j skip locked)
    update _howdah.place p set unstarted = c.unstarted from changed c where p.key = c.key and p.job_id = c.job_id;
end $$;

-- At most `n` jobs of this key start in any span of `per`, in the whole fleet, and at most `burst` of them (default: a quarter) at once; n NULL takes the
-- rate away. Keys and patterns are those of howdah.put_limit; a key may have both. A start is a claim.
create or replace function howdah.put_rate(key text, n int, per interval default '1 second', burst int default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = on
as $$
#variable_conflict use_column
begin
    perform _howdah.check_limit_key(put_rate.key);
    if put_rate.n not between 1 and 1000000 or put_rate.per not between interval '1 ms' and interval '1 year'
       or put_rate.burst not between 1 and put_rate.n then
        perform _howdah.refuse('JQ001', format('%s in %s, %s at once, is no rate', put_rate.n, put_rate.per, coalesce(put_rate.burst::text, 'a quarter')),
                               'Give n from 1 to 1000000, per up to a year, and a burst from 1 to n; or n => NULL to take it away.');
    end if;
    insert into _howdah.limit as l (name, rate, per, burst, created_at)
    values (put_rate.key, put_rate.n, case when put_rate.n is not null then put_rate.per end,
            case when put_rate.n is not null then coalesce(put_rate.burst, ceil(put_rate.n / 4.0)::int) end, _howdah.clock())
    on conflict (name) do update set rate = excluded.rate, per = excluded.per, burst = excluded.burst;
    perform _howdah.limit_changed(put_rate.key);
end $$;
