-- A version 7 UUID (RFC 9562): 48 bits of milliseconds, the rest random. The server's own where it has one (18).
do $do$
begin
    if current_setting('server_version_num')::int >= 180000 then
        create or replace function _howdah.new_id() returns uuid
        language sql volatile parallel safe
        return pg_catalog.uuidv7();
    else
        create or replace function _howdah.new_id() returns uuid
        language sql volatile parallel safe
        return pg_catalog.encode(pg_catalog.set_bit(pg_catalog.set_bit(pg_catalog.overlay(
            pg_catalog.uuid_send(pg_catalog.gen_random_uuid()),
            pg_catalog.substring(pg_catalog.int8send(
                (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint), 3),
            1, 6), 52, 1), 53, 1), 'hex')::uuid;
    end if;
end $do$;
