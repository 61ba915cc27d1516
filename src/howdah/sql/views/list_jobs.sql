-- A page of jobs, newest id first; `before` is the last id of the page before. Only what is given becomes a condition, so that
-- the planner sees which index serves; a page of ids is found first, and only its jobs are put together.
-- Live jobs of a state or queue that holds few are looked up by its index, wherever their ids lie; all others are found by
-- walking down the ids, as far as `down_to` (see howdah.list_end) or, without, through them all.
create or replace function howdah.list_jobs(
    state       text        default null,
    queue       text        default null,
    task        text        default null,
    tag         text        default null,
    older_than  interval    default null,
    newer_than  interval    default null,
    before      uuid        default null,
    n           int         default 50,
    down_to     uuid        default null
) returns setof howdah.jobs
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off set datestyle = 'ISO, YMD'
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
    code      text := (select c from unnest(array['s', 'b', 'r', 'x', 'S', 'F', 'C']) c
                       where _howdah.state_name(c::"char") = list_jobs.state);
    is_live   boolean := code is null or code in ('s', 'b', 'r', 'x');
    is_ended  boolean := code is null or code in ('S', 'F', 'C');
    filter    text := concat_ws(' and ', 'true',
        case when queue is not null then format('queue = %L', queue) end,
        case when task is not null then format('task = %L', task) end,
        case when tag is not null then format('%L = any (tags)', tag) end,
        case when older_than is not null then format('created_at < %L', _howdah.clock() - older_than) end,
        case when newer_than is not null then format('created_at > %L', _howdah.clock() - newer_than) end,
        case when before is not null then format('id < %L', before) end);
    lowest    text := case when down_to is null then '' else format(' and id >= %L', down_to) end;
    -- Put together, never formatted again: a name may have a % in it.
    passing   text := ' where ' || filter || lowest || case when code is null then '' when code = 'b' then ' and state in (''b'', ''w'')' else format(' and state = %L', code) end
                      || format(' order by id desc limit %s)', n);
    few       uuid[];
    page      uuid[];
begin
    if list_jobs.state is not null and code is null then
        perform _howdah.refuse('JQ001', format('%L is no state', list_jobs.state),
                               'States are scheduled, blocked, ready, running, succeeded, failed and cancelled.');
    end if;
    if list_jobs.n is null or list_jobs.n not between 1 and 10000 then
        perform _howdah.refuse('JQ001', 'a page has 1 to 10000 jobs', 'Ask for the next page with before => the last id.');
    end if;
    few := case when code in ('s', 'b', 'r', 'x') then _howdah.few_jobs(code, queue, filter)
                when code is null and queue is not null then _howdah.few_jobs(null, queue, filter || lowest) end;
    execute format('select array(select id from (%s) ids order by id desc limit %s)',
                   concat_ws(' union all ', case when few is not null then 'select unnest($1) as id' when is_live then '(select id from _howdah.job' || passing end,
                                            case when is_ended then '(select id from _howdah.finished' || passing end),
                   n)
    using few into page;
    return query select j.* from howdah.jobs j where j.id = any (page) order by j.id desc;
end $$;

-- The live jobs of a state, of a queue, or both, that pass a filter; NULL where more than 5,000 would have to be looked at.
create or replace function _howdah.few_jobs(code text, queue text, filter text) returns uuid[]
language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
    most   int := 5001;
    found  record;
begin
    execute 'select count(*) as n, coalesce(array_agg(l.id) filter (where l.fits), ''{}'') as ids from (' || concat_ws(' union all ',
        case when coalesce(code, 'r') = 'r' then
            format('(select id, %s as fits from _howdah.job where state = ''r''%s limit %s)', filter,
                   case when few_jobs.queue is not null then format(' and queue = %L', few_jobs.queue) end, most) end,
        case when coalesce(code, 'b') = 'b' then
            format('(select id, %s as fits from _howdah.job where state = ''b''%s limit %s)', filter,
                   case when few_jobs.queue is not null then format(' and queue = %L', few_jobs.queue) end, most) end,
        case when coalesce(code, 'b') = 'b' then
            format('(select id, %s as fits from _howdah.job where state = ''w''%s limit %s)', filter,
                   case when few_jobs.queue is not null then format(' and queue = %L', few_jobs.queue) end, most) end,
        case when coalesce(code, 's') = 's' then
            format('(select id, %s as fits from _howdah.job where state = ''s'' order by run_at limit %s)', filter, most) end,
        case when coalesce(code, 'x') = 'x' then
            format('(select held.id, held.fits from _howdah.lease l cross join unnest(l.ids) i (job_id) cross join lateral (
                         select id, %s as fits from _howdah.job where id = i.job_id and lease = l.lease offset 0) held limit %s)', filter, most) end
        ) || ') l' into found;
    return case when found.n < most then found.ids end;
end $$;

-- The id so many jobs below `before` (NULL: below the newest): down to it a list takes a bounded time, however rare what it
-- looks for is. NULL: there are fewer.
create or replace function howdah.list_end(before uuid default null, jobs int default 50000) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
    select ids.id
    from ((select j.id from _howdah.job j where j.id < coalesce(list_end.before, 'ffffffff-ffff-ffff-ffff-ffffffffffff') order by j.id desc limit list_end.jobs)
          union all
          (select f.id from _howdah.finished f where f.id < coalesce(list_end.before, 'ffffffff-ffff-ffff-ffff-ffffffffffff') order by f.id desc limit list_end.jobs)) ids
    order by ids.id desc offset list_end.jobs - 1 limit 1
$$;

-- Which of the newest n jobs have an id that ends so: five at most.
create or replace function howdah.ids_ending(ending text, n int default 10000) returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
    select newest.id
    from (select ids.id from ((select j.id from _howdah.job j order by j.id desc limit ids_ending.n)
                              union all (select f.id from _howdah.finished f order by f.id desc limit ids_ending.n)) ids
          order by ids.id desc limit ids_ending.n) newest
    where right(newest.id::text, length(ids_ending.ending)) = ids_ending.ending limit 5
$$;
