-- No release came before; a worker that does not know the word would let its jobs end.
-- The third word for workers, now, and a kill that can say it: the old one would make every call ambiguous.
alter table _howdah.worker
    drop constraint worker_control_check,
    add constraint worker_control_check check (control in ('go', 'drain', 'kill', 'now'));
drop function if exists howdah.kill(uuid, text, text, text);
