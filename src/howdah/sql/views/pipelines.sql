-- Pipelines that requests may name.
create or replace view howdah.pipelines as
select p.name::text as name, p.version::text as version, p."order", p.steps, p.created_at from _howdah.pipeline p cross join (select) no_write;
