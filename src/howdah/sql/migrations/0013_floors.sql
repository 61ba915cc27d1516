-- A worker of the previous release goes on: it claims without floors.
-- How a claimer says where its scans may begin, and where they find something: see howdah.claim.
create type _howdah.floor as (queue text, priority int, seq bigint);
create type _howdah.head as (
    queue     text,
    priority  int,
    after     bigint,   -- of the jobs of this priority those with after < seq < before; the first ready one has this seq
    before    bigint,
    seq       bigint
);
