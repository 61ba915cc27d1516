-- A paused queue is not claimed from; enqueue goes on.
create or replace function howdah.pause(queue text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.set_paused(pause.queue, true) $$;

create or replace function howdah.resume(queue text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select _howdah.set_paused(resume.queue, false) $$;

create or replace function _howdah.set_paused(queue text, paused boolean) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform _howdah.check_queue(set_paused.queue);
    if not set_paused.paused then
        update _howdah.queue q set paused = false where q.name = set_paused.queue and q.paused;
        if found then
            perform _howdah.wake(set_paused.queue, null, 100);
        end if;
        return found;
    end if;
    insert into _howdah.queue as q (name, paused, created_at) values (set_paused.queue, true, _howdah.clock())
    on conflict (name) do update set paused = true where not q.paused;
    return found;
end $$;

create or replace function _howdah.check_queue(queue text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if check_queue.queue is null or length(check_queue.queue) not between 1 and 120 or strpos(check_queue.queue, '*') > 0 then
        perform _howdah.refuse('JQ001', 'a queue name has 1 to 120 characters and no *', 'Name one queue.');
    end if;
end $$;
