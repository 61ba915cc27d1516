-- Fair shares: jobs of a queue with fair_by wait, as blocked, behind the gate of their key, and are let in as workers ask for jobs, in rounds
-- over the keys: by stride scheduling (Waldspurger and Weihl 1995), where each job moves its key on by 1 / weight.

-- What such a job waits for; NULL: its queue is not served in shares. No limit has such a name.
create or replace function _howdah.fair_gate(queue text, fair_key text) returns text
language sql immutable parallel safe
return pg_catalog.chr(1) || queue || pg_catalog.chr(1) || fair_key;

-- Jobs whose turn it is and that have their places: ready, or, where shares are kept, behind the gate of their key.
create or replace function _howdah.let_in(ids uuid[]) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    gates  text[];
begin
    with held as (
        update _howdah.job j set waits_for = _howdah.fair_gate(j.queue, j.fair_key)
        where j.id = any (let_in.ids) and j.fair_key is not null and j.waits_for is distinct from _howdah.fair_gate(j.queue, j.fair_key)
        returning j.id, j.waits_for)
    select array_agg(distinct h.waits_for::text),
           array(select i.id from unnest(let_in.ids) with ordinality i (id, place) where i.id <> all (coalesce(array_agg(h.id), '{}')) order by i.place)
    into gates, ids from held h;
    if gates is not null then
        perform _howdah.note('f', gates);
    end if;
    return cardinality(_howdah.make_ready(ids, admitted => true));
end $$;

-- Takes note that these keys have jobs. One that had none comes in where the others are now: what it did not use is gone.
create or replace function _howdah.begin_shares(gates text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    place  record;
    now_at  float8;
begin
    for place in
        select g.gate, split_part(g.gate, chr(1), 2) as queue, split_part(g.gate, chr(1), 3) as key from unnest(begin_shares.gates) g (gate) order by g.gate
    loop
        if _howdah.lock_gates(array[chr(1) || place.queue]) = '{}' then
            perform _howdah.note('f', array[place.gate]);
            continue;
        end if;
        now_at := coalesce((select min(s.pass) from _howdah.share s where s.queue = place.queue and s.active),
                           (select max(s.pass) from _howdah.share s where s.queue = place.queue), 0);
        insert into _howdah.share as s (queue, key, pass, active) values (place.queue, place.key, now_at, true)
        on conflict (queue, key) do update set active = true, pass = greatest(s.pass, now_at) where not s.active;
    end loop;
end $$;

-- Lets in so many that each queue with shares has `most` ready jobs, as far as there are any.
create or replace function _howdah.admit_fair(most int) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
#variable_conflict use_column
declare
    served  text;
    wanted  bigint;
    ready   int := 0;
begin
    if current_setting('transaction_isolation') <> 'read committed' then  -- its snapshot is older than the locks
        return 0;
    end if;
    for served in
        with recursive serving as (  -- one descent for each
            (select s.queue from _howdah.share s where s.active order by s.queue limit 1)
            union all
            select next.queue from serving cross join lateral (
                select s.queue from _howdah.share s where s.active and s.queue > serving.queue order by s.queue limit 1) next)
        select serving.queue from serving
    loop
        continue when exists (select from _howdah.queue q where q.name = served and q.paused);
        wanted := admit_fair.most - _howdah.count_ready(served, admit_fair.most);
        continue when wanted <= 0 or _howdah.lock_gates(array[chr(1) || served]) = '{}';
        ready := ready + _howdah.admit_shares(served, wanted);
    end loop;
    return ready;
end $$;

-- Lets in so many of a queue's jobs, under its gate. As many keys are looked at as jobs are wanted, those whose turn comes first: none but they can have
-- one of these turns. Beyond them only if they had none to give, because theirs have gone, or somebody has them locked.
create or replace function _howdah.admit_shares(served text, wanted bigint) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    many    bigint := wanted;  -- keys to look at next,
    passed  record;            -- from here on
    looked  record;
    turn    record;
    ready   int := 0;
begin
    select '-infinity'::float8 as turn, '' as key into passed;
    loop
        select array_agg(k.key) as keys, array_agg(k.pass) as passes, array_agg(k.weight) as weights, array_agg(k.turn) as turns, count(*) as n into looked
        from (select s.key, s.pass, s.weight, s.pass + 1 / s.weight as turn from _howdah.share s
              where s.queue = served and s.active and (s.pass + 1 / s.weight, s.key) > (passed.turn, passed.key)
              order by s.pass + 1 / s.weight, s.key limit many) k;
        exit when looked.n = 0;
        select array_agg(t.id) as ids, array_agg(t.key) as keys, array_agg(t.turn) as turns, count(*) as n into turn
        from (
            select k.key, next.id, k.pass + next.nth / k.weight as turn
            from unnest(looked.keys, looked.passes, looked.weights) k (key, pass, weight)
            cross join lateral (
                select h.id, row_number() over (order by h.priority desc, h.seq) as nth
                from (select j.id, j.priority, j.seq from _howdah.job j
                      where j.state = 'b' and j.waits_for = _howdah.fair_gate(served, k.key)
                      order by j.priority desc, j.seq
                      limit least(wanted, ceil(wanted * 4.0 / looked.n) + 1) for update skip locked) h) next
            order by turn, k.key limit wanted) t;
        if turn.n > 0 then
            update _howdah.share s set pass = (select max(u.turn) from unnest(turn.keys, turn.turns) u (key, turn) where u.key = s.key)
            where s.queue = served and s.key = any (turn.keys);
            ready := ready + cardinality(_howdah.make_ready(turn.ids, admitted => true));
        end if;
        update _howdah.share s set active = false
        where s.queue = served and s.key = any (array(
            select k from unnest(looked.keys) k
            where not exists (select from _howdah.job j where j.state = 'b' and j.waits_for = _howdah.fair_gate(served, k))));
        wanted := wanted - turn.n;
        exit when wanted <= 0 or looked.n < many;
        select looked.turns[looked.n] as turn, looked.keys[looked.n] as key into passed;
        many := many * 4;
    end loop;
    return ready;
end $$;

-- How much of a queue a key gets, beside the others: 2 is twice as much. A key of which nothing is said has 1.
create or replace function howdah.put_share(queue text, key text, weight float8) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    gate  text := chr(1) || put_share.queue;
begin
    perform _howdah.check_queue(put_share.queue);
    if put_share.key is null or octet_length(put_share.key) not between 1 and 200 or put_share.weight is null
       or put_share.weight not between 0.001 and 1000 then
        perform _howdah.refuse('JQ001', 'a share needs a key of 1 to 200 bytes and a weight between 0.001 and 1000', 'For example howdah.put_share(''mail'', ''tenant-a'', 2).');
    end if;
    -- The queue's gate first: whoever admits leaves a queue whose gate is locked, but would wait for our row.
    loop
        perform from _howdah.gate g where g.key = gate for update;
        exit when found;
        perform pg_advisory_xact_lock('_howdah.gate'::regclass::oid::int, hashtext(gate));
        insert into _howdah.gate (key) values (gate) on conflict do nothing;
    end loop;
    insert into _howdah.share as s (queue, key, weight) values (put_share.queue, put_share.key, put_share.weight)
    on conflict (queue, key) do update set weight = excluded.weight;
end $$;
