-- What the workers do by themselves, for those who run none (cron, pg_cron, psql): stage due jobs, rescue those of lost workers,
-- end leases that ran out, let in who waits for a key, make and drop partitions, prune. Each is idempotent; two at once share the work.
-- `which` names some of them.
create or replace function howdah.chores(which text[] default null) returns table (chore text, done bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from unnest(chores.which) w
               where w is null or w not in ('stage', 'rescue', 'expire', 'partitions', 'prune', 'unknown', 'admit', 'age')) then
        perform _howdah.refuse('JQ001', 'there is no such chore', 'Chores are stage, rescue, expire, admit, age, partitions, prune and unknown.');
    end if;
    perform _howdah.beat();
    return query
    select c.chore, c.done
    from (values ('stage', 1), ('rescue', 2), ('expire', 3), ('partitions', 4), ('unknown', 5), ('prune', 6), ('admit', 7), ('age', 8)) turn (chore, place)
    cross join lateral (
        select turn.chore, case when _howdah.alone(turn.place) then _howdah.do_chore(turn.chore) else 0 end as done) c
    where chores.which is null or turn.chore = any (chores.which)
    order by turn.place;
end $$;

create or replace function _howdah.do_chore(chore text) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    return case chore
        when 'stage' then _howdah.stage(5000)
        when 'rescue' then _howdah.rescue(5000)
        when 'expire' then _howdah.expire(5000)
        when 'admit' then howdah.admit(0)
        when 'age' then _howdah.age(1000)
        when 'partitions' then _howdah.make_partitions()
        when 'prune' then _howdah.prune()
        when 'unknown' then _howdah.fail_unknown(1000)
    end;
end $$;

-- One session at a time does a chore; the others go on without waiting.
create or replace function _howdah.alone(chore int) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp
as $$ select pg_try_advisory_xact_lock('_howdah.job'::regclass::oid::int, alone.chore) $$;
