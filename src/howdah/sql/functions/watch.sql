-- Has the states of a queue's jobs told as they change, for a minute; returns the channel to LISTEN to. Payloads are
-- `state id,id,…`, of ids and states and nothing else. To be called again, every half minute, while somebody watches.
create or replace function howdah.watch(queue text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform _howdah.check_queue(watch.queue);
    insert into _howdah.watcher as w (queue, until) values (watch.queue, _howdah.clock() + interval '60 s')
    on conflict (queue) do update set until = excluded.until where w.until < excluded.until - interval '5 s';
    perform nextval('_howdah.watch_mark');
    return _howdah.watch_channel(watch.queue);
end $$;

create or replace function _howdah.watch_channel(queue text) returns text
language sql immutable parallel safe
return _howdah.channel() || '_' || pg_catalog.left(pg_catalog.md5(queue), 16);

-- Whether anybody may watch: one read of a sequence's page, as with idle marks.
create or replace function _howdah.anybody_watching() returns boolean
language sql volatile
return pg_catalog.pg_sequence_last_value('_howdah.watch_mark'::regclass) is not null;

-- Tells the states of live jobs, as they are now.
create or replace function _howdah.tell_live(ids uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
begin
    perform _howdah.tell_state(array_agg(j.id), j.queue, _howdah.state_name(j.state))
    from _howdah.job j where j.id = any (tell_live.ids)
      and exists (select from _howdah.watcher w where w.queue = j.queue and w.until > _howdah.clock())
    group by j.queue, j.state;
end $$;

-- Tells that jobs have ended; queues and ids run in parallel.
create or replace function _howdah.tell_ends(ids uuid[], queues text[], moved uuid[], state "char") returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    perform _howdah.tell_state(array_agg(e.id), e.queue, _howdah.state_name(tell_ends.state))
    from unnest(tell_ends.ids, tell_ends.queues) e (id, queue)
    where e.id = any (tell_ends.moved)
      and exists (select from _howdah.watcher w where w.queue = e.queue and w.until > _howdah.clock())
    group by e.queue;
end $$;

-- A notification holds less than 8,000 bytes: 200 ids each.
create or replace function _howdah.tell_state(ids uuid[], queue text, state text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify(_howdah.watch_channel(queue), state || ' ' || array_to_string(ids[n * 200 + 1:n * 200 + 200], ','))
    from generate_series(0, (cardinality(ids) - 1) / 200) n;
end $$;

-- Forgets who watches no more; and when nobody is left, that anybody did. Who begins to watch right now has drawn a mark, and is not
-- seen yet: so without anybody in such a transaction, or with the next call.
create or replace function _howdah.forget_watchers() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    delete from _howdah.watcher w where w.until < _howdah.clock();
    if not exists (select from _howdah.watcher) and _howdah.anybody_watching() then
        lock table _howdah.watcher in share row exclusive mode nowait;
        if not exists (select from _howdah.watcher) then
            perform setval('_howdah.watch_mark', 1, false);
        end if;
    end if;
exception when lock_not_available then
    null;
end $$;
