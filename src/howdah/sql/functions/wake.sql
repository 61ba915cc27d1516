-- Whether anybody may be idle: one read of a sequence's page. PostgreSQL's own view of sequences asks so too; a sub-select would
-- keep it from being inlined.
create or replace function _howdah.anybody_idle() returns boolean
language sql volatile
return pg_catalog.pg_sequence_last_value('_howdah.idle_mark'::regclass) is not null;

-- Wakes up to `n` idle workers that listen to the queue and know the task (NULL: any): one notification, naming them; the
-- others do not stir. Picked at random. A hint only: whoever misses it polls.
-- Callers look first whether anybody may be idle.
-- While somebody holds an old snapshot, cleared marks stay as dead rows. So marks are numbered, and whoever looks at them notes
-- for the next what it found: that nobody is idle; or, now and then, below which number no mark lies. Numbers of the last 32
-- are looked at always: they may not be committed yet.
create or replace function _howdah.wake(queue text, task text, n bigint) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set plan_cache_mode = force_generic_plan
as $$
declare
    drawn   bigint := pg_sequence_last_value('_howdah.idle_mark'::regclass);  -- before the look
    bottom  bigint := coalesce(pg_sequence_last_value('_howdah.idle_floor'::regclass), 0);
    lowest  bigint;
    names   text;
begin
    names := array_to_string(array(
        select left(i.worker::text, 8) from _howdah.idle i
        where i.mark > bottom
          and wake.queue like any (i.queue_likes)
          and (wake.task is null or i.tasks is null or wake.task like any (i.task_likes)
               or strpos(wake.task, '@') > 0 and _howdah.in_range(wake.task, i.tasks))
        order by random() limit least(wake.n, 100)), ',');
    if names <> '' then
        perform pg_notify(_howdah.channel(), 'w' || names);
    end if;

    if current_setting('transaction_isolation') <> 'read committed' then
        return;  -- an older snapshot shows no newer marks
    end if;
    if names <> '' and (drawn - 32 < bottom + 32 or random() < 0.8) then
        return;  -- nothing to note, or somebody else will
    end if;
    lowest := (select min(i.mark) from _howdah.idle i where i.mark > bottom);
    if lowest is null and drawn = pg_sequence_last_value('_howdah.idle_mark'::regclass) then
        perform setval('_howdah.idle_mark', drawn + 1, false);
    end if;
    if coalesce(lowest, drawn) - 32 >= bottom + 32 then
        perform setval('_howdah.idle_floor', coalesce(lowest, drawn) - 32);
    end if;
end $$;

-- Marks a worker as one to be woken for these queues and tasks, beside those that it was marked for before.
create or replace function _howdah.mark_idle(worker uuid, queues text[], tasks text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
as $$
#variable_conflict use_column
declare
    bottom  bigint := (select f.last_value from _howdah.idle_floor f);
begin
    if bottom > (select m.last_value from _howdah.idle_mark m) then  -- in a copy: a dump reads sequences at different moments
        perform setval('_howdah.idle_mark', bottom);
    end if;
    update _howdah.idle i
    set mark = nextval('_howdah.idle_mark'),
        queues = i.queues || coalesce(mark_idle.queues, '{*}'),
        tasks = case when i.tasks is not null and mark_idle.tasks is not null then i.tasks || mark_idle.tasks end
    where i.worker = mark_idle.worker and i.mark > bottom
      and not (i.queues @> coalesce(mark_idle.queues, '{*}') and coalesce(i.tasks @> mark_idle.tasks, i.tasks is null));
    if not found and not exists (select from _howdah.idle i where i.worker = mark_idle.worker and i.mark > bottom) then
        insert into _howdah.idle (worker, queues, tasks)
        select w.id, coalesce(mark_idle.queues, '{*}'), mark_idle.tasks from _howdah.worker w where w.id = mark_idle.worker;
    end if;
end $$;

-- Has the mark of a worker that is about to sleep, or asleep, be seen: somebody may have looked before it was committed, and
-- noted that nobody is idle; and an old one would keep the floor low.
create or replace function _howdah.keep_mark(worker uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
as $$
#variable_conflict use_column
declare
    drawn  record;
    mine   bigint;
begin
    select m.last_value, m.is_called into drawn from _howdah.idle_mark m;
    select max(i.mark) into mine from _howdah.idle i
    where i.worker = keep_mark.worker and i.mark > (select f.last_value from _howdah.idle_floor f);
    if mine < drawn.last_value - 256 then
        update _howdah.idle i set mark = nextval('_howdah.idle_mark') where i.worker = keep_mark.worker and i.mark = mine;
    elsif mine is not null and not drawn.is_called then
        perform nextval('_howdah.idle_mark');
    end if;
end $$;
