-- A worker of the previous release goes on: it names the columns that it reads.
-- A claim says how often a job's worker has crashed: a suspect is run alone, in a process of its own.
alter type howdah.claimed add attribute crashes int;
