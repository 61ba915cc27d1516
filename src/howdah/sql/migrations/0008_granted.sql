-- First release: no earlier worker exists.
-- Which roles were granted what, so that `howdah db check` sees a grant that has gone missing.
create table _howdah.granted (
    role  name not null,
    kind  text not null check (kind in ('producer', 'worker', 'viewer', 'operator')),
    primary key (role, kind)
);
