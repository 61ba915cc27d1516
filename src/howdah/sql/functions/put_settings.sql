-- Changes settings of the store; NULL leaves one as it is. Returns them all.
create or replace function howdah.put_settings(
    lost_after        interval default null,
    max_crashes       int      default null,
    retention         interval default null,
    failed_retention  interval default null,
    unknown_task_age  interval default null
) returns table (lost_after interval, max_crashes int, retention interval, failed_retention interval, unknown_task_age interval)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update _howdah.setting s
    set lost_after = coalesce($1, s.lost_after), max_crashes = coalesce($2, s.max_crashes),
        retention = coalesce($3, s.retention), failed_retention = coalesce($4, s.failed_retention),
        unknown_task_age = coalesce($5, s.unknown_task_age)
    returning s.lost_after, s.max_crashes, s.retention, s.failed_retention, s.unknown_task_age
$$;
