-- First release: no earlier worker exists.
-- One row of settings that belong to the store, not to a process.
create table _howdah.setting (
    only_row          boolean  primary key default true check (only_row),
    lost_after        interval not null default '30 s'   check (lost_after >= '1 s'),
    max_crashes       int      not null default 3        check (max_crashes >= 1),
    retention         interval not null default '7 days' check (retention >= '0'),
    failed_retention  interval not null default '7 days' check (failed_retention >= '0'),
    unknown_task_age  interval not null default '7 days' check (unknown_task_age > '0')
);
insert into _howdah.setting default values;
