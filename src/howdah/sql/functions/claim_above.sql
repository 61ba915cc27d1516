-- Leases up to `n` jobs that have come to one priority of one queue above a floor: howdah.claim for the worker that has just been
-- told of them, in one statement, since every one that runs after a pause costs. What it leases is what howdah.claim would give first. It
-- leases nothing, and leaves it to howdah.claim, wherever that may be anything else: a ready job of greater priority, at the front, or in another queue,
-- a paused queue, any limit, a suspect, a range of versions, a worker that is unknown, commits that do not wait for the disk.
-- tasks are names; others: whether the worker serves other queues as well; floors are as in howdah.claim, which alone raises them.
create or replace function howdah.claim_above(
    queue     text,
    priority  int,
    seq       bigint,
    n         int,
    worker    uuid,
    tasks     text[],
    others    boolean default true
) returns setof howdah.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    limits  bigint := pg_sequence_last_value('_howdah.has_limits'::regclass);  -- before any job is picked
    token   uuid;
    taken   int;
begin
    if claim_above.n is null or claim_above.n not between 1 and 10000 then
        perform _howdah.refuse('JQ001', format('cannot claim %s jobs', coalesce(claim_above.n::text, 'NULL')), 'Ask for 1 to 10000.');
    end if;
    if current_setting('synchronous_commit') = 'off' then
        return;
    end if;
    token := gen_random_uuid();
    return query
    with leased as (
        update _howdah.job j
        set state = 'x', lease = token, attempt = j.attempt + 1, waiting_key = null,
            cursor = case when j.serial_key is not null then coalesce((select s.cursor from _howdah.serial_key s where s.key = j.serial_key), '{}') end,
            leased_until = null
        where j.ctid = any (array(
                select k.ctid from _howdah.job k
                where k.state = 'r' and k.queue = claim_above.queue and k.priority = claim_above.priority and k.seq > claim_above.seq
                  and k.task = any (claim_above.tasks) and k.suspect is null
                order by k.seq limit claim_above.n for update skip locked))
          -- In this order, once and before those are picked: what is left to a claim is not locked, and takes no transaction id.
          and case
              when limits is not null and exists (select from _howdah.limit) then false
              when exists (select from _howdah.queue q where q.name = claim_above.queue and q.paused) then false
              when exists (select from _howdah.job k where k.state = 'r' and k.queue = claim_above.queue and k.priority > claim_above.priority) then false
              when exists (select from _howdah.job k where k.state = 'r' and k.queue = claim_above.queue and k.priority = claim_above.priority
                             and k.seq < 0) then false
              when claim_above.others is distinct from false and (
                  exists (select from _howdah.job k where k.state = 'r' and k.queue < claim_above.queue)
                  or exists (select from _howdah.job k where k.state = 'r' and k.queue > claim_above.queue)) then false
              when (select bool_and(f.is_plain) is not true  -- the first ones, of which there may be none
                    from (select (k.task = any (claim_above.tasks)) is true and k.suspect is null as is_plain
                          from _howdah.job k
                          where k.state = 'r' and k.queue = claim_above.queue and k.priority = claim_above.priority and k.seq > claim_above.seq
                            and (k.task = any (claim_above.tasks) or strpos(k.task, '@') > 0)
                          order by k.seq limit claim_above.n) f) then false
              else true
              end
          -- And this, since it is volatile, when they are picked.
          and case
              when pg_sequence_last_value('_howdah.has_limits'::regclass) is distinct from limits then false
              else exists (select from _howdah.worker w where w.id = claim_above.worker for key share)
              end
        returning j.id, j.queue, j.task, j.args, j.priority, j.seq, j.attempt, j.base_attempt, j.max_attempts, j.timeout_ms,
                  j.delivery, j.leased_until, j.headers, j.tags, j.suspect, j.hooks, j.serial_key, j.cursor
    ), noted as (
        insert into _howdah.lease (lease, worker, claimed_at, ids)
        select token, claim_above.worker, _howdah.clock(), array_agg(l.id) from leased l having count(*) > 0
    ), unmarked as (
        delete from _howdah.idle i
        where i.worker = claim_above.worker and i.mark > (select f.last_value from _howdah.idle_floor f) and exists (select from leased)
    )
    select l.id, token, l.queue::text, l.task::text, l.args, l.priority, l.attempt, coalesce(l.base_attempt, 0),
           coalesce(l.max_attempts, 4), case when l.timeout_ms is null then 60000 else nullif(l.timeout_ms, 0) end,
           _howdah.delivery_name(l.delivery), l.leased_until, l.headers, l.tags, l.suspect is true,
           l.hooks, l.serial_key::text, l.cursor
    from leased l order by l.seq;
    get diagnostics taken = row_count;
    if taken > 0 and _howdah.anybody_watching() then
        perform _howdah.tell_live(l.ids) from _howdah.lease l where l.lease = token;
    end if;
    if taken = claim_above.n and _howdah.anybody_idle() then  -- there may be more than it can take, as in howdah.claim
        perform _howdah.wake(claim_above.queue, null, 1);
    end if;
end $$;
