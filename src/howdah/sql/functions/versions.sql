-- Versions of tasks: a job's task is name@version, name@range (>=2,<3), or the bare name for any version. Those who serve
-- versions name them exactly, and the bare name; ranges are found by comparing.

-- Whether one of `tasks` (name@version; all else is passed over) lies in the range that the task wants.
create or replace function _howdah.in_range(task text, tasks text[]) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from unnest(in_range.tasks) served (name)
        where split_part(served.name, '@', 1) = split_part(in_range.task, '@', 1)
          and split_part(served.name, '@', 2) ~ '^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$'
          and not exists (
              select from regexp_split_to_table(split_part(in_range.task, '@', 2), ',') wanted (part)
              where not coalesce(_howdah.version_fits(split_part(served.name, '@', 2), wanted.part), false)))
$$;

create or replace function _howdah.version_fits(version text, part text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select case asked.match[1]
        when '>=' then asked.mine >= asked.other when '<=' then asked.mine <= asked.other
        when '>' then asked.mine > asked.other when '<' then asked.mine < asked.other when '!=' then asked.mine <> asked.other end
    from (select m.match, _howdah.version_key(version_fits.version) as mine, _howdah.version_key(m.match[2]) as other
          from (select regexp_match(version_fits.part, '^(>=|<=|>|<|!=)([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})$') as match) m) asked
$$;

-- Four numbers: 2.1 and 2.1.0 are the same.
create or replace function _howdah.version_key(version text) returns int[]
language sql immutable set search_path = pg_catalog, pg_temp
as $$ select (string_to_array(version, '.')::int[] || array[0, 0, 0])[1:4] $$;

-- Those of a claimer's tasks that are versions; NULL where there are none, which is what plain claims pay nothing for.
create or replace function _howdah.versions_of(tasks text[]) returns text[]
language sql immutable parallel safe
return (select pg_catalog.array_agg(t) from pg_catalog.unnest(tasks) t where t ~ '@[0-9.]+$');

-- Whether somebody who names these tasks and patterns (NULL: any) takes jobs of this one.
create or replace function _howdah.knows(tasks text[], task text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select knows.tasks is null or knows.task = any (knows.tasks) or knows.task like any (_howdah.like_patterns(knows.tasks))
        or strpos(knows.task, '@') > 0 and _howdah.in_range(knows.task, knows.tasks)
$$;

-- Tasks among the first ready jobs of a queue that no worker of the queue knows.
create or replace function _howdah.unserved(queue text, cap int) returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    return array(
        select ready.task from (
            select distinct head.task from (
                select j.task::text as task from _howdah.job j where j.state = 'r' and j.queue = unserved.queue
                order by j.priority desc, j.seq limit unserved.cap) head) ready
        where not exists (select from _howdah.serving w where unserved.queue like any (_howdah.like_patterns(w.queues))
                            and _howdah.knows(w.tasks, ready.task))
        order by ready.task);
end $$;
