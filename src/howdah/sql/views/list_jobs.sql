-- A page of jobs, newest id first; `before` is the last id of the page before. Only what is given becomes a condition, so that
-- the planner sees which index serves; a page of ids is found first, and only its jobs are put together.
create or replace function howdah.list_jobs(
    state       text        default null,
    queue       text        default null,
    task        text        default null,
    tag         text        default null,
    older_than  interval    default null,
    newer_than  interval    default null,
    before      uuid        default null,
    n           int         default 50
) returns setof howdah.jobs
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off set datestyle = 'ISO, YMD'
as $$
declare
    code    text := (select c from unnest(array['s', 'b', 'r', 'x', 'S', 'F', 'C']) c
                     where _howdah.state_name(c::"char") = list_jobs.state);
    clause  text := concat_ws(' and ', 'true',
        case when queue is not null then format('queue = %L', queue) end,
        case when task is not null then format('task = %L', task) end,
        case when tag is not null then format('%L = any (tags)', tag) end,
        case when older_than is not null then format('created_at < %L', _howdah.clock() - older_than) end,
        case when newer_than is not null then format('created_at > %L', _howdah.clock() - newer_than) end,
        case when before is not null then format('id < %L', before) end,
        case when code is not null then format('state = %L', code) end);
    page    uuid[];
begin
    if list_jobs.state is not null and code is null then
        perform _howdah.refuse('JQ001', format('%L is no state', list_jobs.state),
                               'States are scheduled, blocked, ready, running, succeeded, failed and cancelled.');
    end if;
    if list_jobs.n is null or list_jobs.n not between 1 and 10000 then
        perform _howdah.refuse('JQ001', 'a page has 1 to 10000 jobs', 'Ask for the next page with before => the last id.');
    end if;
    execute format(
        'select array(select id from ((select id from _howdah.job where %1$s order by id desc limit %2$s)
                                      union all (select id from _howdah.finished where %1$s order by id desc limit %2$s)) ids
                      order by id desc limit %2$s)', clause, n) into page;
    return query select j.* from howdah.jobs j where j.id = any (page) order by j.id desc;
end $$;
