-- No release came before: no worker reads how many crashes a claimed job has.
-- Not every crash makes a job suspect: after the loss of a whole worker nobody knows which of its jobs it was.
alter table _howdah.job add column suspect boolean;  -- may have killed its worker, and is to run alone; NULL: no
update _howdah.job set suspect = true where crashes > 0;
alter type howdah.claimed drop attribute crashes;
alter type howdah.claimed add attribute suspect boolean;
