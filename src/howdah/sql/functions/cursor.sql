-- The cursor of a serial key: what the last of its jobs that succeeded left for the next; {} for a key that has none yet.
create or replace function howdah.cursor(key text) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select coalesce((select s.cursor from _howdah.serial_key s where s.key = cursor.key), '{}') $$;

-- Sets it by hand; expected_version (as howdah.cursors shows it; 0 for a key that has none yet) refuses when somebody else was first.
-- Returns the new version. The job that runs now has the old one, and overwrites this if it succeeds with a cursor of its own.
create or replace function howdah.set_cursor(key text, cursor jsonb, expected_version bigint default null) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    new_version  bigint;
begin
    if set_cursor.key is null or octet_length(set_cursor.key) not between 1 and 200 then
        perform _howdah.refuse('JQ001', 'serial_key must be 1 to 200 bytes long', 'For example account:42.');
    end if;
    if jsonb_typeof(set_cursor.cursor) is distinct from 'object' or pg_column_size(set_cursor.cursor) > 1048576 then
        perform _howdah.refuse('JQ001', 'a cursor must be a JSON object of at most 1 MiB', 'For example {"page": 3}.');
    end if;
    if not exists (select from _howdah.serial_key s where s.key = set_cursor.key) then  -- as admission does, which would wait for our row
        perform pg_advisory_xact_lock('_howdah.serial_key'::regclass::oid::int, hashtext(set_cursor.key));
    end if;
    insert into _howdah.serial_key as s (key, cursor, version, updated_at)
    select set_cursor.key, set_cursor.cursor, 1, _howdah.clock()
    on conflict (key) do update set cursor = excluded.cursor, version = s.version + 1, updated_at = excluded.updated_at, updated_by = null
    where s.version = coalesce(set_cursor.expected_version, s.version)
    returning s.version into new_version;
    if new_version is null or (new_version = 1 and set_cursor.expected_version <> 0) then
        perform _howdah.refuse('JQ003', format('the cursor of %s has not version %s', set_cursor.key, set_cursor.expected_version),
                               'Somebody changed it. Read it again (howdah.cursors), and decide anew.');
    end if;
    return new_version;
end $$;

-- Which of these jobs cannot save a cursor now, because somebody holds that of their key.
create or replace function _howdah.held_cursors(ids uuid[], cursors jsonb[]) returns uuid[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
    keys  text[] := array(select j.serial_key from unnest(held_cursors.ids, held_cursors.cursors) o (id, cursor) join _howdah.job j on j.id = o.id
                          where o.cursor is not null and j.serial_key is not null);
    had   text[] := array(select s.key from _howdah.serial_key s where s.key = any (keys) order by s.key for update skip locked);
begin
    return array(select j.id from unnest(held_cursors.ids, held_cursors.cursors) o (id, cursor) join _howdah.job j on j.id = o.id
                 where o.cursor is not null and j.serial_key = any (keys) and j.serial_key <> all (had));
end $$;

-- Saves what attempts leave for the next job of their serial key: with the finish, and only if the lease is still theirs.
create or replace function _howdah.save_cursors(ids uuid[], leases uuid[], cursors jsonb[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
begin
    update _howdah.serial_key s set cursor = c.cursor, version = s.version + 1, updated_at = _howdah.clock(), updated_by = c.id
    from (select j.serial_key, o.cursor, o.id from unnest(save_cursors.ids, save_cursors.leases, save_cursors.cursors) o (id, lease, cursor)
          join _howdah.job j on j.id = o.id and j.lease = o.lease
          where o.cursor is not null and j.serial_key is not null and (j.leased_until is null or j.leased_until > _howdah.clock())
          order by j.id for update of j) c  -- nobody takes the lease away before the finish
    where s.key = c.serial_key;
end $$;
