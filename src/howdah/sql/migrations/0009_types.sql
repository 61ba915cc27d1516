-- First release: no earlier worker exists.
-- What the contract takes and gives. Frozen once released: a new attribute would break connected clients.
create type howdah.new_job as (
    task          text,
    args          jsonb,
    queue         text,
    priority      int,
    run_at        timestamptz,
    delay         interval,
    max_attempts  int,
    timeout       interval,
    no_timeout    boolean,
    delivery      text,
    id            uuid,
    unique_key    text,
    headers       jsonb,
    tags          text[]
);

create type howdah.claimed as (
    id            uuid,
    lease         uuid,
    queue         text,
    task          text,
    args          jsonb,
    priority      int,
    attempt       int,
    base_attempt  int,          -- attempts used before the last retry by hand
    max_attempts  int,
    timeout_ms    bigint,       -- NULL: none
    delivery      text,
    leased_until  timestamptz,  -- NULL: as long as the worker's heart beats
    headers       jsonb,
    tags          text[]
);

create type howdah.control as (
    action       text,          -- go, drain, kill; or swept: drop everything and register under a new id
    cancel       uuid[],        -- jobs of this worker that are to be cancelled
    next_due_in  interval,      -- until the next scheduled job is due; NULL: none within a day
    work         boolean        -- whether its queues hold ready jobs
);
