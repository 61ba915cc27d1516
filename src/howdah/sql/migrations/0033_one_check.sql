-- A worker of the previous release goes on.
-- Each constraint costs by itself: its text is read in each statement, and its expression set up for each row. What a claim does not change is not
-- looked at again by a claim.
alter table _howdah.job
    drop constraint job_state, drop constraint job_running_has_lease, drop constraint job_scheduled_has_time, drop constraint job_counts,
    drop constraint job_timeout, drop constraint job_delivery, drop constraint job_run_at, drop constraint job_names,
    drop constraint job_unique_key, drop constraint job_keys,
    add constraint job_sound check (
        state in ('r', 'x', 's', 'b', 'w') and (state = 'x') = (lease is not null) and (state <> 's' or run_at is not null)
        and attempt >= 0 and crashes >= 0 and max_attempts >= 1 and timeout_ms >= 0 and delivery in ('m', 't')
        and (state = 'x' or (
            length(queue) between 1 and 120 and length(task) between 1 and 120
            and run_at between '1970-01-01' and '2300-01-01' and octet_length(unique_key) between 1 and 200
            and octet_length(serial_key) between 1 and 200 and octet_length(waiting_key) <= 600 and cardinality(limit_keys) between 1 and 8)));
