-- Jobs that wait for jobs. Whoever stores a child, or ends a parent, leaves a note and takes no lock; a later transaction, in
-- _howdah.admit, takes the notes, closes the edges of the parents that have ended, and lets in the children that have none left.
-- A parent whose row does not say that somebody waits (bit 16 of hooks) would end without a note, so the first look at a child arms its
-- edges: it sets the bit under the parent's row lock, or finds that the parent has ended.

-- What is wrong with `after`, {"id of a parent": "fail", "skip" or "ignore"}; NULL when nothing is.
create or replace function _howdah.after_flaw(parents jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    strange  record;
begin
    if jsonb_typeof(after_flaw.parents) <> 'object' then
        return 'after must be a list of job ids, or an object of job ids with fail, skip or ignore';
    end if;
    select p.key, p.value into strange from jsonb_each(after_flaw.parents) p
    where p.key !~* '^[0-9a-f]{8}(-?[0-9a-f]{4}){4}[0-9a-f]{8}$' or p.value #>> '{}' is null or p.value #>> '{}' not in ('fail', 'skip', 'ignore') limit 1;
    return case when found then format('after: %L is no job id, or %s is none of fail, skip and ignore', strange.key, strange.value) end;
end $$;

-- A list of ids as the object that is kept.
create or replace function _howdah.after_of(parents jsonb) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select case when jsonb_typeof(after_of.parents) = 'array'
                then (select coalesce(jsonb_object_agg(p.id, 'fail'), '{}') from jsonb_array_elements_text(after_of.parents) p (id) where p.id is not null)
                else nullif(after_of.parents, 'null') end
$$;

-- Has children wait for their parents, which must be there: `parents` in parallel, as in _howdah.after_flaw.
create or replace function _howdah.wait_for(children uuid[], parents jsonb[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    lost  record;
begin
    insert into _howdah.edge (parent, child, place, policy)
    select p.key::uuid, w.child, row_number() over (partition by w.child order by p.key::uuid),
           case p.value when 'fail' then 'f' when 'skip' then 'c' else 'i' end::"char"
    from unnest(wait_for.children, wait_for.parents) w (child, parents) cross join lateral jsonb_each_text(w.parents) p;
    select e.parent, e.child into lost from _howdah.edge e
    where e.child = any (wait_for.children)
      and not exists (select from _howdah.job j where j.id = e.parent) and not exists (select from _howdah.finished f where f.id = e.parent)
    limit 1;
    if found then
        perform _howdah.refuse('JQ004', format('there is no job %s to wait for', lost.parent),
                               'Nothing was enqueued. It never was, was deleted, or has left history: leave it out of after.');
    end if;
    select e.parent, e.child into lost from _howdah.edge e
    where e.child = any (wait_for.children) and e.parent = any (wait_for.children)
      and array_position(wait_for.children, e.parent) >= array_position(wait_for.children, e.child) limit 1;
    if found then
        perform _howdah.refuse('JQ001', format('job %s waits for job %s, which does not come before it', lost.child, lost.parent),
                               'Nothing was enqueued. In one call, give parents before their children.');
    end if;
    delete from _howdah.gone g where g.id = any (array(select e.parent from _howdah.edge e where e.child = any (wait_for.children)))
      and exists (select from _howdah.job j where j.id = g.id);  -- its id is used again
    -- Parents of this very transaction: nobody else can have seen them.
    update _howdah.job j set hooks = coalesce(j.hooks, 0) | 16
    where j.id = any (array(select e.parent from _howdah.edge e where e.child = any (wait_for.children)))
      and j.xmin = pg_current_xact_id()::xid and coalesce(j.hooks, 0) & 16 = 0;
    update _howdah.edge e set armed = true
    from _howdah.job j where e.child = any (wait_for.children) and j.id = e.parent and j.xmin = pg_current_xact_id()::xid;
    perform _howdah.note('c', array(select c.child::text from unnest(wait_for.children) c (child)));
end $$;

-- Looks again at these keys a little later: what they are about is locked.
create or replace function _howdah.note_later(kind "char", keys text[]) returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    insert into _howdah.pending (kind, key, due)
    select note_later.kind, k, _howdah.clock() + interval '20 ms' from unnest(note_later.keys) k
$$;

-- Resolves notes: `ended`, how a parent ended and its id, in one text (S0190…); and `asked`, children to be looked at. Returns how many became
-- ready.
create or replace function _howdah.resolve_edges(ended text[], asked uuid[]) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
declare
    closing   record;
    children  uuid[];
    locked    uuid[];
    rest      text[];
begin
    if current_setting('transaction_isolation') <> 'read committed' then  -- its snapshot is older than the locks
        perform _howdah.note('d', resolve_edges.ended), _howdah.note('c', resolve_edges.asked::text[]);
        return 0;
    end if;
    select array_agg(o.row) filter (where o.state = 'S' or o.policy = 'i') as good,
           array_agg(o.row) filter (where o.state <> 'S' and o.policy <> 'i') as bad,
           array_agg(o.state) filter (where o.state <> 'S' and o.policy <> 'i') as states, array_agg(distinct o.child) as children into closing
    from (select e.row, e.child, e.policy, left(n.note, 1)::"char" as state
          from unnest(resolve_edges.ended) n (note)
          cross join lateral (select o.ctid as row, o.child, o.policy from _howdah.edge o
                              where o.parent = substr(n.note, 2)::uuid and o.state is null limit 1000 for update skip locked) e
          limit 2000) o;
    delete from _howdah.edge e where e.ctid = any (closing.good);
    update _howdah.edge e set state = b.state from unnest(closing.bad, closing.states) b (row, state) where e.ctid = b.row;
    rest := array(select n.note from unnest(resolve_edges.ended) n (note)
                  where exists (select from _howdah.edge e where e.parent = substr(n.note, 2)::uuid and e.state is null));
    if rest <> '{}' and closing.children is not null then
        perform _howdah.note('d', rest);
    elsif rest <> '{}' then
        perform _howdah.note_later('d', rest);
    end if;

    children := array(select distinct c from unnest(closing.children || resolve_edges.asked) c where c is not null);
    if children = '{}' then
        return 0;
    end if;
    -- By id alone, and then by state: together they would lead to an index of states, whatever the statistics say.
    locked := array(select h.id from (select j.id, j.state from _howdah.job j where j.id = any (children) order by j.id offset 0 for update skip locked) h
                    where h.state = 'w');
    rest := array(select h.id::text from (select j.id, j.state from _howdah.job j where j.id = any (children) offset 0) h
                  where h.state = 'w' and h.id <> all (locked));
    if rest <> '{}' then
        perform _howdah.note_later('c', rest);
    end if;
    perform _howdah.keep_edges(array(select c from unnest(children) c where not exists (
        select from (select j.state from _howdah.job j where j.id = c offset 0) h where h.state = 'w')));
    perform _howdah.arm_edges(locked);
    return _howdah.judge(locked);
end $$;

-- Edges of children that have ended without having run, and may come back; those that somebody has locked are seen to by that one.
create or replace function _howdah.keep_edges(children uuid[]) returns void
language sql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
    update _howdah.edge e set kept_since = _howdah.clock()
    where e.ctid = any (array(select o.ctid from _howdah.edge o where o.child = any (keep_edges.children) and o.kept_since is null
                               and keep_edges.children <> '{}' for update skip locked))  -- of an empty array the planner takes any index
$$;

-- Whether a job that comes back waits: for those of its parents that have not ended. Refused where one has ended badly, and that counts; one of
-- which nothing is left is not waited for.
create or replace function _howdah.wait_again(id uuid) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    known  record;
begin
    select (array_agg(p.parent order by p.place) filter (where p.ended <> 'S' and p.policy <> 'i'))[1] as bad,
           (array_agg(p.ended order by p.place) filter (where p.ended <> 'S' and p.policy <> 'i'))[1] as ended,
           array_agg(p.row) filter (where not p.is_live) as over into known
    from (select e.ctid as row, e.parent, e.place, e.policy, (select true from _howdah.job j where j.id = e.parent limit 1) is not null as is_live,
                 (select f.state from _howdah.finished f where f.id = e.parent limit 1) as ended
          from _howdah.edge e where e.child = wait_again.id) p;
    if known.bad is not null then
        perform _howdah.refuse('JQ003', format('job %s, for which it waits, %s', known.bad, case known.ended when 'F' then 'failed' else 'was cancelled' end),
                               'Retry that one first, and then this one, which will wait for it; or enqueue it anew.');
    end if;
    delete from _howdah.edge e where e.ctid = any (known.over);
    update _howdah.edge e set state = null, armed = false, kept_since = null where e.child = wait_again.id;
    if found then
        perform _howdah.note('c', array[wait_again.id::text]);
    end if;
    return found;
end $$;

-- Notes how jobs ended of which no history tells: whoever begins to wait for one at that instant is to hear of it.
create or replace function _howdah.note_gone(ids uuid[], state "char") returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$
    insert into _howdah.gone (id, state, ended_at) select i, note_gone.state, _howdah.clock() from unnest(note_gone.ids) i on conflict do nothing
$$;

-- Edges of children that ended longer ago than jobs are kept, and what was noted of jobs that are gone; a bounded part at a time.
create or replace function _howdah.prune_edges(n int) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    done  bigint;
    more  bigint;
begin
    delete from _howdah.edge e where e.ctid = any (array(
        select o.ctid from _howdah.edge o
        where o.kept_since < _howdah.clock() - (select greatest(s.retention, s.failed_retention) from _howdah.setting s)
        order by o.kept_since limit prune_edges.n for update skip locked));
    get diagnostics done = row_count;
    delete from _howdah.gone g where g.id = any (array(
        select o.id from _howdah.gone o where o.ended_at < _howdah.clock() - interval '1 day' order by o.ended_at limit prune_edges.n));
    get diagnostics more = row_count;
    return done + more;
end $$;

-- Sees to it that the ends of parents will be noted, 1,000 at a time; and closes the edges of those that have ended without.
create or replace function _howdah.arm_edges(children uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    loose   record;
    locked  uuid[];
    ended   record;
    rest    text[];
begin
    select array_agg(e.row) as rows, array_agg(distinct e.parent) as parents, array_agg(distinct e.child) as children, count(*) as n into loose
    from (select o.ctid as row, o.parent, o.child from _howdah.edge o  -- a bare "state is null" would lead to the index of all that wait
          where o.child = any (arm_edges.children) and coalesce(o.state, 'w') = 'w' and not o.armed limit 1000 for update skip locked) e;
    if loose.rows is null then
        return;
    end if;
    locked := array(select j.id from _howdah.job j where j.id = any (loose.parents) order by j.id for update skip locked);
    update _howdah.job j set hooks = coalesce(j.hooks, 0) | 16 where j.id = any (locked) and coalesce(j.hooks, 0) & 16 = 0;
    update _howdah.edge e set armed = true where e.ctid = any (loose.rows) and e.parent = any (locked);
    -- A new snapshot: who is not there has ended, and well, if neither history nor what is noted of those that are gone tells otherwise.
    select array_agg(o.row) filter (where o.counts) as bad, array_agg(o.state) filter (where o.counts) as states, array_agg(o.row) filter (where not o.counts) as good into ended
    from (select d.row, d.state, d.state <> 'S' and d.policy <> 'i' as counts from (
          select e.ctid as row, e.policy, coalesce((select f.state from _howdah.finished f where f.id = e.parent limit 1), (select g.state from _howdah.gone g where g.id = e.parent), 'S') as state
          from _howdah.edge e where e.ctid = any (loose.rows) and not exists (select from _howdah.job j where j.id = e.parent)) d) o;
    delete from _howdah.edge e where e.ctid = any (ended.good);
    update _howdah.edge e set state = b.state from unnest(ended.bad, ended.states) b (row, state) where e.ctid = b.row;
    rest := array(select distinct e.child::text from _howdah.edge e where e.ctid = any (loose.rows) and e.state is null and not e.armed);
    if loose.n = 1000 then
        perform _howdah.note('c', loose.children::text[]);
    elsif rest <> '{}' then
        perform _howdah.note_later('c', rest);
    end if;
end $$;

-- What becomes of children whose rows are locked: those of which a parent ended badly end too, those with no parent left are let in.
create or replace function _howdah.judge(children uuid[]) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    bad   record;
    free  record;
begin
    select array_agg(b.child) filter (where b.verdict = 'F') as failed, array_agg(b.error) filter (where b.verdict = 'F') as failed_errors,
           array_agg(b.child) filter (where b.verdict = 'C') as cancelled, array_agg(b.error) filter (where b.verdict = 'C') as cancelled_errors,
           array_agg(b.child) as children into bad
    from (select distinct on (e.child) e.child, case when e.policy = 'c' then 'C' else e.state end as verdict,
                 format('job %s, for which it waited, %s', e.parent, case e.state when 'F' then 'failed' else 'was cancelled' end) as error
          from _howdah.edge e where e.child = any (judge.children) and e.state is not null
          order by e.child, e.state desc, e.place) b;
    if bad.children is not null then
        perform _howdah.settle(bad.failed, null, 'F', null, bad.failed_errors), _howdah.settle(bad.cancelled, null, 'C', null, bad.cancelled_errors);
        perform _howdah.keep_edges(bad.children);
    end if;
    -- From the last: parents mostly end in order, so it is the last that is still there, and no dead rows lie before it.
    select array_agg(j.id order by j.seq) as ids, array_agg(j.run_at order by j.seq) as times into free
    from (select h.id, h.seq, h.run_at, h.state from _howdah.job h where h.id = any (judge.children) offset 0) j
    where j.state = 'w'
      and (select true from _howdah.edge e where e.child = j.id order by e.place desc limit 1) is null;
    return case when free.ids is null then 0 else cardinality(_howdah.make_ready(free.ids, null, free.times)) end;
end $$;

-- For whom a job waits, in one sentence.
create or replace function _howdah.why_dependent(id uuid) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    parents  record;
begin
    select count(*) as n, (array_agg(p.parent order by p.place))[1] as first into parents
    from (select e.parent, e.place from _howdah.edge e where e.child = why_dependent.id and e.state is null limit 1001) p;
    return case
        when parents.n = 0 then 'those for whom it waited have ended; it is about to be let in, by the next worker that looks'
        else format('waiting for job %s (%s)%s', parents.first,
                    coalesce((select _howdah.state_name(j.state) from _howdah.job j where j.id = parents.first), 'ended'),
                    case when parents.n > 1000 then ' and more than 1000 others' when parents.n > 1 then format(' and %s other%s', parents.n - 1, case when parents.n > 2 then 's' else '' end) else '' end) end;
end $$;
