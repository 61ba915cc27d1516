-- A worker of the previous release goes on: what it calls is the same. Its mark is gone until it next finds nothing or polls.
-- Marks get numbers, so that nobody need walk over those that were cleared: see _howdah.wake. What two sequences say is true at once,
-- for everybody, and leaves no dead rows. Numbers: is_called tells whether anybody may be idle. Floor: no mark lies at or below.
create sequence _howdah.idle_mark as bigint;
create sequence _howdah.idle_floor as bigint minvalue 0;

delete from _howdah.idle;
alter table _howdah.idle
    add column mark bigint not null default pg_catalog.nextval('_howdah.idle_mark'),
    drop constraint idle_pkey,
    add primary key (worker, mark);
create index idle_mark_order on _howdah.idle (mark);
