-- What the checker needs to see of the store: each change of a job's state, in the very transaction that made it.
-- Of the chaos programme only. Times are of clock_timestamp(); n orders the changes of one job, whose row is locked for each.
create schema chaos;

create table chaos.effects (
    key      bigint not null,   -- not unique: that a job has no second effect is the queue's to see to
    attempt  int    not null,
    token    uuid   not null
);

create table chaos.audit (
    n          bigint generated always as identity,
    at         timestamptz not null default clock_timestamp(),
    tx         xid8 not null default pg_current_xact_id(),
    id         uuid not null,
    was        "char",          -- NULL: it was not there
    now        "char",          -- NULL: it has gone, to history or for good
    was_lease  uuid,
    now_lease  uuid,
    attempt    int,
    crashes    int,
    run_at     timestamptz,
    key        bigint,          -- said once, when the job comes in
    unique_key text,
    serial_key text
);

create function chaos.note() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into chaos.audit (id, now, now_lease, attempt, crashes, run_at, key, unique_key, serial_key)
        values (new.id, new.state, new.lease, new.attempt, new.crashes, new.run_at, case when new.args ->> 'key' ~ '^\d{1,18}$' then (new.args ->> 'key')::bigint end, new.unique_key, new.serial_key);
    elsif tg_op = 'DELETE' then
        insert into chaos.audit (id, was, was_lease, attempt, crashes, run_at)
        values (old.id, old.state, old.lease, old.attempt, old.crashes, old.run_at);
    else
        insert into chaos.audit (id, was, now, was_lease, now_lease, attempt, crashes, run_at)
        values (new.id, old.state, new.state, old.lease, new.lease, new.attempt, new.crashes, new.run_at);
    end if;
    return null;
end $$;

create trigger chaos_came after insert on _howdah.job for each row execute function chaos.note();
create trigger chaos_went after delete on _howdah.job for each row execute function chaos.note();
create trigger chaos_moved after update on _howdah.job for each row
when (old.state is distinct from new.state or old.lease is distinct from new.lease) execute function chaos.note();
