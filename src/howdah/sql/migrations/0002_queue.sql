-- First release: no earlier worker exists.
-- A row only for a queue about which something is known: enqueue never writes here.
create table _howdah.queue (
    name          text collate "C" primary key check (length(name) between 1 and 120),
    paused        boolean not null default false,
    keep_history  boolean not null default true,    -- false: ack deletes
    durable       boolean not null default true,    -- false: synchronous_commit is left as it is
    created_at    timestamptz not null
);
