-- The only clock. Tests replace it, as owner, in a test database; no setting of a user can.
create or replace function _howdah.clock() returns timestamptz
language sql volatile parallel safe
return pg_catalog.clock_timestamp();
