-- How many jobs wait for a serial key, counted up to 1,000.
create or replace function _howdah.count_waiting(serial_key text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
as $$ select count(*) from (select from _howdah.job j where j.state = 'b' and j.serial_key = count_waiting.serial_key limit 1000) w $$;

-- Serial keys: their cursors, whose turn it is, and how many jobs wait (counted up to 1,000).
create or replace view howdah.cursors as
select s.key::text as key, s.cursor, s.version, s.updated_at, s.updated_by,
       (select j.id from _howdah.job j where j.id = s.holder and j.serial_key = s.key) as holder,
       _howdah.count_waiting(s.key) as waiting
from _howdah.serial_key s cross join (select) no_write;

-- Limits, as they were put, and each key that has any jobs: how many may run at once (NULL: no end of them), how many may
-- start in which time, and how many have a place.
create or replace view howdah.limits as
select k.key, _howdah.most_of(k.key) as most, r.rate, r.per, r.burst, (select count(*) from _howdah.place p where p.key = k.key) as taken,
       exists (select from _howdah.limit l where l.name = k.key) as is_own
from (select l.name::text as key from _howdah.limit l union select g.key::text from _howdah.gate g) k
cross join lateral _howdah.rate_of(k.key) r;
