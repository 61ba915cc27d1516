-- Keyed work. A job with keys waits as blocked until it is let in: its serial key must be nobody else's turn, and each of its limits
-- must have a place. That is decided under the lock of the key, by whoever comes by: workers, chores, claims without a worker. Nobody
-- ever waits for such a lock: what cannot be had is noted in _howdah.pending, for a later look. So there is no circle to wait in.

-- Notes that something has changed on these keys.
create or replace function _howdah.note(kind "char", keys text[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    if cardinality(note.keys) > 0 then
        insert into _howdah.pending (kind, key)
        select case when left(k, 1) = chr(1) then 'f' else note.kind end, k from unnest(note.keys) k where k is not null;
    end if;
end $$;

-- Resolves up to `n` notes: lets in whom they are about; of queues that are served in shares until they have `most` ready jobs. Returns how
-- many jobs became ready.
create or replace function _howdah.admit(n int, most int default 0) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = on set enable_indexscan = on set jit = off
as $$
declare
    moment   timestamptz := _howdah.clock();
    serial   text[];
    limited  text[];
    shared   text[];
    put      text[];
    ended    text[];
    waiting  uuid[];
    flows    uuid[];
begin
    -- Two of the same batch may name one key: each is resolved once, after all its notes were taken.
    with taken as (
        delete from _howdah.pending p
        where p.ctid = any (array(select o.ctid from _howdah.pending o where coalesce(o.due <= moment, true) limit admit.n for update skip locked))
        returning p.kind, p.key)
    select array_agg(distinct t.key) filter (where t.kind = 's'), array_agg(distinct t.key) filter (where t.kind = 'l'),
           array_agg(distinct t.key) filter (where t.kind = 'f'), array_agg(distinct t.key) filter (where t.kind = 'd'),
           array_agg(distinct t.key::uuid) filter (where t.kind = 'c'), array_agg(distinct t.key::uuid) filter (where t.kind = 'w'),
           array_agg(distinct t.key) filter (where t.kind = 'p')
    into serial, limited, shared, ended, waiting, flows, put from taken t;
    if put is not null then
        perform _howdah.apply_again(put);
    end if;
    if shared is not null then
        perform _howdah.begin_shares(shared);
    end if;
    return case when ended is null and waiting is null then 0 else _howdah.resolve_edges(ended, waiting) end
         + case when flows is null then 0 else _howdah.advance(flows) end
         + case when serial is null then 0 else _howdah.admit_serial(serial) end
         + case when limited is null then 0 else _howdah.admit_limited(limited) end
         + case when admit.most > 0 and exists (select from _howdah.share s where s.active) then _howdah.admit_fair(admit.most) else 0 end;
end $$;

-- Whether any note is to be resolved now.
create or replace function _howdah.is_pending() returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    return exists (select from _howdah.pending p where p.due is null)
        or exists (select from _howdah.pending p where p.due <= _howdah.clock())
        or exists (select from _howdah.share s where s.active);
end $$;

-- Resolves notes until one has made something ready, or none is left but those that a look gave back: their keys are held by somebody. A
-- bounded number of looks.
create or replace function _howdah.admit_some(most int) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    ready      int := 0;
    left_over  record;
    before     text[];
begin
    for round in 1..20 loop
        ready := _howdah.admit(1000, admit_some.most);
        exit when ready > 0;
        select array_agg(distinct p.kind::text || p.key) as notes, bool_and(p.kind in ('s', 'l', 'f', 'p')) as of_keys into left_over
        from (select o.kind, o.key from _howdah.pending o where o.due is null limit 1000) p;
        exit when left_over.notes is null or (left_over.of_keys and left_over.notes = before);
        before := left_over.notes;
    end loop;
    return ready;
end $$;

-- For workers, which have room for `n` jobs: resolves what is noted; how many jobs became ready.
create or replace function howdah.admit(n int default 100) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return case when _howdah.is_pending() then _howdah.admit_some(least(greatest(admit.n, 0), 10000)) else 0 end;
end $$;

-- Whether a job keeps the turn that it was given: it runs or is about to, or waits for its next try. Not if it is to be skipped
-- meanwhile, nor if it never started and was put off (a cursor says that it did).
create or replace function _howdah.keeps_turn(state "char", on_failure "char", cursor jsonb) returns boolean
language sql immutable parallel safe
return state is not null and (state <> 's' or (cursor is not null and on_failure is distinct from 'k'));

-- Whose turn it is of each key, in parallel arrays: the one that keeps it, if it waits, or the first in line.
-- One descent for each, whatever the statistics say: those of a table that was empty when they were taken would have every job looked at.
create or replace function _howdah.turns_of(locked text[], out keys text[], out ids uuid[], out limits text[], out fair boolean)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
    select array_agg(w.key), array_agg(w.id), array_agg(w.limits), bool_or(w.fair) into keys, ids, limits, fair
    from (
        select s.key, next.id, next.limit_keys[1] as limits, next.fair_key is not null as fair
        from _howdah.serial_key s
        left join lateral (
            select held.* from (
                select h.id, h.state, h.waits_for, h.limit_keys, h.fair_key, h.serial_key, h.on_failure, h.cursor
                from _howdah.job h where h.id = s.holder limit 1) held
            where held.serial_key = s.key and _howdah.keeps_turn(held.state, held.on_failure, held.cursor)) held on true
        cross join lateral (
            select held.id, held.limit_keys, held.fair_key where held.id is not null
            union all
            (select j.id, j.limit_keys, j.fair_key from _howdah.job j
             where held.id is null and j.state = 'b' and j.serial_key = s.key order by j.seq limit 1)) next
        where s.key = any (turns_of.locked) and (held.id is null or (held.state = 'b' and held.waits_for is null))) w;
end $$;

-- Gives each of these serial keys to the next of its jobs, unless the one whose turn it is is still alive. A holder that came back to
-- waiting (its worker died, it was given back, or its retry is due) goes first, whatever waits beside it. In a transaction that may
-- last, those that have limits as well wait for the next look: the limits would be locked until its end.
create or replace function _howdah.admit_serial(keys text[], lasting boolean default false) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = on set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    locked  text[];
    turn    record;
    free    uuid[];
begin
    if current_setting('transaction_isolation') <> 'read committed' then  -- its snapshot is older than the locks
        perform _howdah.note('s', admit_serial.keys);
        return 0;
    end if;
    locked := array(select s.key from _howdah.serial_key s where s.key = any (admit_serial.keys) order by s.key for update skip locked);
    if cardinality(locked) < cardinality(admit_serial.keys) then
        with fresh as (
            insert into _howdah.serial_key (key)
            select k from unnest(admit_serial.keys) k
            where not exists (select from _howdah.serial_key s where s.key = k)
              -- an insert would wait for another's of the same key
              and pg_try_advisory_xact_lock('_howdah.serial_key'::regclass::oid::int, hashtext(k))
            on conflict do nothing returning key)
        select locked || array_agg(f.key::text) into locked from fresh f;
        perform _howdah.note('s', array(select unnest(admit_serial.keys) except select unnest(locked)));
    end if;

    turn := _howdah.turns_of(locked);
    if turn.ids is null then
        return 0;
    end if;
    -- Whom somebody has locked (to cancel it) is waited for, at a later look: the next one must not overtake it.
    with had as materialized (  -- by id alone: a state beside it would lead to an index of states, whatever the statistics say
        select j.id, j.serial_key, j.state from _howdah.job j where j.id = any (turn.ids) order by j.id for update skip locked
    ), unlocked as (
        select h.id, h.serial_key from had h where h.state = 'b'
    ), turned as (
        update _howdah.serial_key s set holder = u.id from unlocked u where s.key = u.serial_key and s.holder is distinct from u.id
    )
    select coalesce(array_agg(u.id), '{}') into free from unlocked u;
    if cardinality(free) < cardinality(turn.ids) then
        perform _howdah.note('s', array(select t.key from unnest(turn.keys, turn.ids) t (key, id) where t.id <> all (free)));
    end if;
    if array_remove(turn.limits, null) = '{}' then
        return case when turn.fair then _howdah.let_in(free) else cardinality(_howdah.make_ready(free, admitted => true)) end;
    end if;
    update _howdah.job j set waits_for = t.first from unnest(turn.ids, turn.limits) t (id, first)
    where j.id = t.id and j.id = any (free) and t.first is not null;
    if admit_serial.lasting then
        perform _howdah.note('l', turn.limits);
    end if;
    return _howdah.let_in(array(select t.id from unnest(turn.ids, turn.limits) t (id, first) where t.id = any (free) and t.first is null))
         + case when admit_serial.lasting then 0
                else _howdah.admit_limited(array(select distinct t.first from unnest(turn.limits) t (first) where t.first is not null)) end;
end $$;

-- How many jobs of a key may run at once: its own limit, else that of the longest pattern; NULL: as many as there are.
create or replace function _howdah.most_of(key text) returns int
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
begin
    return coalesce(
        (select l.most from _howdah.limit l where l.name = most_of.key),
        (select l.most from _howdah.limit l
         where l.most is not null and right(l.name, 1) = '*' and starts_with(most_of.key, left(l.name, -1)) order by length(l.name) desc limit 1));
end $$;

-- Lets jobs in that wait for these limits, greatest priority first, as far as there are places. A job of several limits takes all its
-- places at once, or waits for the first that has none.
create or replace function _howdah.admit_limited(keys text[]) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = on set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    locked  text[];
    room    record;  -- of each key, in parallel arrays
    first   record;  -- the first jobs of each, as many as there is room for, likewise
    asked   text;
    n       int := 0;
begin
    if current_setting('transaction_isolation') <> 'read committed' then  -- its snapshot is older than the locks
        perform _howdah.note('l', admit_limited.keys);
        return 0;
    end if;
    locked := _howdah.lock_gates(admit_limited.keys);
    if cardinality(locked) < cardinality(admit_limited.keys) then
        perform _howdah.note('l', array(select unnest(admit_limited.keys) except select unnest(locked)));
    end if;
    loop
        select array_agg(r.key) as keys, array_agg(r.free) as free, array_agg(r.is_rated) as rated into room from _howdah.rooms(locked) r;
        select array_agg(j.id order by r.place, j.priority desc, j.seq) as ids, array_agg(r.key order by r.place, j.priority desc, j.seq) as keys,
               array_agg(r.rated order by r.place, j.priority desc, j.seq) as rated, array_agg(distinct r.key) filter (where j.is_several) as several
        into first
        from unnest(room.keys, room.free, room.rated) with ordinality r (key, free, rated, place)
        cross join lateral (
            select j.id, j.priority, j.seq, cardinality(j.limit_keys) > 1 as is_several from _howdah.job j
            where j.state = 'b' and j.waits_for = r.key
            order by j.priority desc, j.seq limit r.free for update skip locked) j
        where r.free > 0;
        exit when first.several is null;
        foreach asked in array first.several loop
            n := n + _howdah.admit_several(asked);
        end loop;
        locked := array(select k from unnest(locked) k where k <> all (first.several));  -- they may have taken places of these, too
    end loop;

    if first.ids is not null then
        insert into _howdah.place (key, job_id, unstarted)
        select f.key, f.id, nullif(f.rated, false) from unnest(first.ids, first.keys, first.rated) f (id, key, rated);
        n := n + _howdah.let_in(first.ids);
    end if;
    -- There may be more than were looked at, or some that somebody has locked, and perhaps only to cancel it.
    perform _howdah.note('l', array(
        select r.key from unnest(room.keys, room.free) r (key, free)
        left join (select f.key, count(*) as n from unnest(first.keys) f (key) group by f.key) f on f.key = r.key
        where case when r.free > 0 and (r.free = 1000 or r.free > coalesce(f.n, 0))
                   then exists (select from _howdah.job j where j.state = 'b' and j.waits_for = r.key) end));
    if true = any (room.rated) then
        perform _howdah.note_rate(r.key) from unnest(room.keys, room.rated) r (key, rated) where r.rated and _howdah.free_places(r.key) <= 0;
    end if;
    return n;
end $$;

-- The same for one key whose jobs have other limits besides: one job after the other. Under the lock of the key.
create or replace function _howdah.admit_several(key text) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = on set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    free      int := _howdah.free_places(admit_several.key);
    taken     uuid[] := '{}';
    job       record;
    full_one  text;
    n         int := 0;
begin
    for job in
        select j.id, j.limit_keys from _howdah.job j where j.state = 'b' and j.waits_for = admit_several.key
        order by j.priority desc, j.seq limit 1000 for update skip locked
    loop
        exit when cardinality(taken) >= free;
        select k into full_one from unnest(job.limit_keys) k
        where k <> admit_several.key and (_howdah.lock_gates(array[k]) = '{}' or _howdah.free_places(k) <= 0) order by k limit 1;
        if full_one is null then
            insert into _howdah.place (key, job_id, unstarted)
            select k, job.id, case when (_howdah.rate_of(k)).rate is not null then true end from unnest(job.limit_keys) k;
            taken := taken || job.id;
        else
            update _howdah.job j set waits_for = full_one where j.id = job.id;
            perform _howdah.note('l', array[full_one]);
        end if;
    end loop;
    if taken <> '{}' then
        n := _howdah.let_in(taken);
    end if;
    if cardinality(taken) >= free then
        perform _howdah.note_rate(admit_several.key);
    end if;
    if (cardinality(taken) < free or free = 1000)
       and exists (select from _howdah.job j where j.state = 'b' and j.waits_for = admit_several.key) then
        perform _howdah.note('l', array[admit_several.key]);
    end if;
    return n;
end $$;

-- Those of the keys whose gates could be locked without waiting.
create or replace function _howdah.lock_gates(keys text[]) returns text[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    locked  text[] := array(select g.key from _howdah.gate g where g.key = any (lock_gates.keys) order by g.key for update skip locked);
begin
    if cardinality(locked) < cardinality(lock_gates.keys) then
        with fresh as (
            insert into _howdah.gate (key)
            select k from unnest(lock_gates.keys) k
            where not exists (select from _howdah.gate g where g.key = k)
              and pg_try_advisory_xact_lock('_howdah.gate'::regclass::oid::int, hashtext(k))  -- an insert would wait for another's
            on conflict do nothing returning key)
        select locked || array_agg(f.key::text) into locked from fresh f;
    end if;
    return locked;
end $$;

-- How many more jobs of each of these keys may be let in now, at most 1,000 at a time, and whether the key has a rate. To be asked under their locks.
create or replace function _howdah.rooms(keys text[]) returns table (key text, free bigint, is_rated boolean)
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    any_rates  boolean := exists (select from _howdah.limit l where l.rate is not null);
begin
    return query
    select k.key, least(1000, coalesce(
                            (select l.most from _howdah.limit l where l.name = k.key),
                            (select l.most from _howdah.limit l  -- as _howdah.most_of
                             where l.most is not null and right(l.name, 1) = '*' and starts_with(k.key, left(l.name, -1)) order by length(l.name) desc limit 1))
                            - (select count(*) from _howdah.place p where p.key = k.key),
                        case when r.is_rated then _howdah.starts_left(k.key) - (select count(*) from _howdah.place p where p.key = k.key and p.unstarted) end),
           r.is_rated
    from unnest(rooms.keys) with ordinality k (key, place)
    cross join lateral (select any_rates and (_howdah.rate_of(k.key)).rate is not null as is_rated) r
    order by k.place;
end $$;

-- The same of one key.
create or replace function _howdah.free_places(key text) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    return (select r.free from _howdah.rooms(array[free_places.key]) r);
end $$;

-- Jobs with keys came back to waiting, or ended: their places are free, and others may go on.
-- Of serial keys the next one is let in at once, if `soon`; limits wait for the next transaction, which sees what others do now.
-- An idle worker is told, if `wake`: where nobody else is about to look. ids NULL: none of them has a limit.
create or replace function _howdah.let_go(ids uuid[], serial_keys text[], soon boolean, wake boolean default false) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    freed  text[];
begin
    if let_go.ids is not null then
        with left_ones as (delete from _howdah.place p where p.job_id = any (let_go.ids) returning p.key)
        select array_agg(distinct l.key) into freed from left_ones l;
        perform _howdah.note('l', freed);
    end if;
    if serial_keys <> '{}' then
        if let_go.soon then
            perform _howdah.admit_serial(serial_keys, lasting => true);
        else
            perform _howdah.note('s', serial_keys);
        end if;
    end if;
    if let_go.wake and _howdah.anybody_idle() then
        perform _howdah.wake_for(case when not let_go.soon then serial_keys end, freed);
    end if;
end $$;

-- Wakes a worker for who may be let in next of each of these keys.
create or replace function _howdah.wake_for(serial_keys text[], limits text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = on set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    perform _howdah.wake(next.queue, next.task, count(*))
    from (select head.queue, head.task from unnest(wake_for.serial_keys) k cross join lateral (
              select j.queue, j.task from _howdah.job j where j.state = 'b' and j.serial_key = k order by j.seq limit 1) head
          union all
          select head.queue, head.task from unnest(wake_for.limits) k cross join lateral (
              select j.queue, j.task from _howdah.job j where j.state = 'b' and j.waits_for = k order by j.priority desc, j.seq limit 1) head) next
    group by next.queue, next.task;
end $$;

-- Jobs with keys that have just come back to waiting: they give up their places, and those that do not keep their turn, that too.
create or replace function _howdah.back_to_keys(ids uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    keyed  record;
begin
    select array_agg(j.serial_key::text) filter (where j.state = 'b' or not _howdah.keeps_turn(j.state, j.on_failure, j.cursor)) as serial_keys,
           array_agg(j.waits_for::text) filter (where j.waits_for is not null) as limits
    into keyed from _howdah.job j where j.id = any (back_to_keys.ids);
    if keyed.limits is not null then
        perform _howdah.note('l', keyed.limits);
    end if;
    perform _howdah.let_go(back_to_keys.ids, coalesce(array(select distinct k from unnest(keyed.serial_keys) k where k is not null), '{}'), soon => false, wake => true);
    if keyed.limits is not null and _howdah.anybody_idle() then
        perform _howdah.wake_for(null, keyed.limits);
    end if;
end $$;

-- Keys of which nothing is left: no job, no cursor that was ever set, no place. Some of them, and only those that nobody has locked; whoever
-- needs one again makes it anew.
create or replace function _howdah.prune_keys(n int) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moment  timestamptz := _howdah.clock();
    locked  text[];  -- serial keys
    shut    text[];  -- gates
    gone    bigint;
begin
    if current_setting('transaction_isolation') <> 'read committed' then  -- its snapshot is older than the locks
        return 0;
    end if;
    -- Locked first, and then looked at anew: meanwhile somebody may have taken it.
    locked := array(select o.key from _howdah.serial_key o
                    where o.version = 0 and not exists (select from _howdah.job j where j.id = o.holder)
                    limit prune_keys.n for update skip locked);
    shut := array(select o.key from _howdah.gate o
                  where not exists (select from _howdah.place p where p.key = o.key)
                    and not exists (select from _howdah.share s where s.active and s.queue = substr(o.key, 2))
                    and not exists (select from _howdah.job j where j.state = 'b' and j.waits_for = o.key)
                  limit prune_keys.n for update skip locked);
    with serial as (
        delete from _howdah.serial_key s
        where s.key = any (locked) and s.version = 0
          and not exists (select from _howdah.job j where j.id = s.holder)
          and not exists (select from _howdah.job j where j.state = 'b' and j.serial_key = s.key)
        returning 1
    ), gates as (
        delete from _howdah.gate g
        where g.key = any (shut)
          and not exists (select from _howdah.place p where p.key = g.key)
          and not exists (select from _howdah.share s where s.active and s.queue = substr(g.key, 2))
          and not exists (select from _howdah.job j where j.state = 'b' and j.waits_for = g.key)
        returning 1
    ), windows as (
        delete from _howdah.unique_until u where u.key = any (array(
            select o.key from _howdah.unique_until o where o.until < moment limit prune_keys.n for update skip locked))
        returning 1
    ), shares as (
        delete from _howdah.share s where not s.active and s.weight = 1 and (s.queue, s.key) in (
            select o.queue, o.key from _howdah.share o
            where not o.active and o.weight = 1 and not exists (select from _howdah.share a where a.queue = o.queue and a.active)
            limit prune_keys.n for update skip locked)
        returning 1
    ), starts as (
        delete from _howdah.start s where s.ctid = any (array(
            select o.ctid from _howdah.start o where o.at < moment - coalesce((select max(l.per) from _howdah.limit l), '0')
            limit prune_keys.n for update skip locked))
        returning 1
    )
    select (select count(*) from serial) + (select count(*) from gates) + (select count(*) from windows) + (select count(*) from starts)
           + (select count(*) from shares) into gone;
    return gone;
end $$;
