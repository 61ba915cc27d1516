-- Settings that belong to the store, not to a process.
create or replace view howdah.settings as
select s.lost_after, s.max_crashes, s.retention, s.failed_retention, s.unknown_task_age from _howdah.setting s cross join (select) no_write;

-- Changes settings of the store; NULL leaves one as it is. Returns them all.
create or replace function howdah.put_settings(
    lost_after        interval default null,
    max_crashes       int      default null,
    retention         interval default null,
    failed_retention  interval default null,
    unknown_task_age  interval default null
) returns setof howdah.settings
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    flaw  text := case
        when put_settings.lost_after not between interval '1 s' and interval '10 years' then 'lost_after must lie between a second and ten years'
        when put_settings.max_crashes < 1 then 'max_crashes is less than 1'
        when least(put_settings.retention, put_settings.failed_retention) < interval '0' then 'a retention is negative'
        when put_settings.unknown_task_age <= interval '0' then 'unknown_task_age is not positive'
        when greatest(put_settings.retention, put_settings.failed_retention, put_settings.unknown_task_age) > interval '100 years'
            then 'a time is longer than a hundred years'
    end;
begin
    if flaw is not null then
        perform _howdah.refuse('JQ001', flaw, 'Nothing was changed.');
    end if;
    update _howdah.setting s
    set lost_after = coalesce(put_settings.lost_after, s.lost_after),
        max_crashes = coalesce(put_settings.max_crashes, s.max_crashes),
        retention = coalesce(put_settings.retention, s.retention),
        failed_retention = coalesce(put_settings.failed_retention, s.failed_retention),
        unknown_task_age = coalesce(put_settings.unknown_task_age, s.unknown_task_age);
    return query select s.lost_after, s.max_crashes, s.retention, s.failed_retention, s.unknown_task_age from howdah.settings s;
end $$;
