-- Down-time of the database does not count against leases. The pulse beats about once a second with whatever worker is there.
-- A gap of more than two beats is down-time for all when the server restarted or changed its timeline since, else for workers
-- whose own session outlived it and who had beaten until it began (they were cut off); that nobody was there to beat is no
-- down-time.
-- The beat also looks from where on scheduled jobs wait (see _howdah.due_from), in a snapshot that is newer than its moment: what
-- is due below, and visible to nobody yet, is of a transaction that was open.
create or replace function _howdah.beat() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    moment   timestamptz := _howdah.clock();
    history  text := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    is_new   boolean := current_setting('transaction_isolation') = 'read committed';  -- else the snapshot may be an old one
begin
    update _howdah.pulse p
    set beat_at = moment, server_started_at = pg_postmaster_start_time(), timeline = history,
        resumed_at = case when p.server_started_at <> pg_postmaster_start_time() or p.timeline <> history
                          then moment else p.resumed_at end,
        gap_began_at = case when p.beat_at < moment - interval '3 s' then p.beat_at else p.gap_began_at end,
        gap_ended_at = case when p.beat_at < moment - interval '3 s' then moment else p.gap_ended_at end,
        due_from = case when is_new then least(moment, _howdah.first_due(
            case when p.all_looked_at between moment - interval '1 min' and moment then p.due_from - interval '30 s'
                 else '-infinity' end)) else p.due_from end,
        all_looked_at = case when p.all_looked_at not between moment - interval '1 min' and moment and is_new
                             then moment else p.all_looked_at end
    where p.only_row and p.beat_at not between moment - interval '800 ms' and moment
      and exists (select from _howdah.pulse s where s.only_row for update skip locked);
end $$;
