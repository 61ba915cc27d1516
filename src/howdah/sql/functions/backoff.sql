-- How long to wait after the n-th failed attempt: exponential, capped, with jitter; by the task's declaration, else
-- 3 s, 6 s, 12 s … up to an hour, plus or minus a tenth.
create or replace function _howdah.backoff(task text, n int) returns interval
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    t  _howdah.task;
begin
    select k.* into t from _howdah.task k where k.name = backoff.task;
    return make_interval(secs => least(
        coalesce(t.longest_ms, 3600000),
        coalesce(t.first_ms, 3000) * power(coalesce(t.factor, 2), least(n - 1, 60))
    ) * (1 + coalesce(t.jitter, 0.1) * (2 * random() - 1)) / 1000);
end $$;
