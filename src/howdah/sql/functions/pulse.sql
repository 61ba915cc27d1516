-- Down-time of the database does not count against leases. The pulse beats about once a second with whatever worker is there.
-- A gap of more than two beats is down-time for all when the server restarted or changed its timeline since, else for workers
-- whose own session outlived it and who had beaten until it began (they were cut off); that nobody was there to beat is no
-- down-time.
create or replace function _howdah.beat() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    moment   timestamptz := _howdah.clock();
    history  text := left(pg_walfile_name(pg_current_wal_lsn()), 8);
begin
    update _howdah.pulse p
    set beat_at = moment, server_started_at = pg_postmaster_start_time(), timeline = history,
        resumed_at = case when p.server_started_at <> pg_postmaster_start_time() or p.timeline <> history
                          then moment else p.resumed_at end,
        gap_began_at = case when p.beat_at < moment - interval '3 s' then p.beat_at else p.gap_began_at end,
        gap_ended_at = case when p.beat_at < moment - interval '3 s' then moment else p.gap_ended_at end
    where p.only_row and p.beat_at not between moment - interval '800 ms' and moment
      and exists (select from _howdah.pulse s where s.only_row for update skip locked);
end $$;
