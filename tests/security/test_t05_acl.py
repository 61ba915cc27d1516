"""T05, T08: every privilege on every object of ours is one that acl.txt lists, on every server.

Where more was meant to be granted, write it anew:
`WRITE_ACL=1 pytest tests/security/test_t05_acl.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ACL = Path(__file__).with_name("acl.txt")
EVERYTHING = """
with ours as (
    select oid, nspname from pg_namespace where nspname in ('howdah', '_howdah')
), object (kind, name, owner, acl) as (
    select 'schema', nspname::text, nspowner, coalesce(nspacl, acldefault('n', nspowner))
    from pg_namespace where oid in (select oid from ours)
    union all
    select case c.relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end,
           c.oid::regclass::text, c.relowner,
           coalesce(c.relacl, acldefault(case when c.relkind = 'S' then 's' else 'r' end::"char",
                                         c.relowner))
    from pg_class c
    where c.relnamespace in (select oid from ours)
      and c.relkind in ('r', 'p', 'v', 'S', 'm', 'f') and not c.relispartition
    union all
    select 'column', c.oid::regclass::text || '.' || a.attname, c.relowner, a.attacl
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace in (select oid from ours) and a.attacl is not null
    union all
    select 'partition', 'any', c.relowner, coalesce(c.relacl, acldefault('r', c.relowner))
    from pg_class c where c.relnamespace in (select oid from ours) and c.relispartition
      and c.relkind in ('r', 'p', 'f')
    union all
    select 'function', p.oid::regprocedure::text, p.proowner,
           coalesce(p.proacl, acldefault('f', p.proowner))
    from pg_proc p where p.pronamespace in (select oid from ours)
    union all
    select 'type', t.oid::regtype::text, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
    from pg_type t join pg_class c on c.oid = t.typrelid
    where t.typnamespace in (select oid from ours) and c.relkind = 'c'
    union all
    select 'type', t.oid::regtype::text, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
    from pg_type t
    where t.typnamespace in (select oid from ours) and t.typrelid = 0 and t.typelem = 0
    union all
    select 'default privilege', d.defaclobjtype::text, d.defaclrole, d.defaclacl
    from pg_default_acl d where d.defaclnamespace in (select oid from ours)
)
select o.kind, o.name, a.grantee, a.privilege_type as privilege, a.is_grantable as may_grant,
       a.grantee = o.owner as is_owner
from object o left join lateral aclexplode(o.acl) a on true
order by 1, 2
"""


def granted(owner, roles: dict[str, str]) -> list[str]:
    """A line for each object: who beside its owner may do what with it."""
    names = {owner.execute("select %s::regrole::oid", [role]).fetchone()[0]: kind
             for kind, role in roles.items()}  # fmt: skip
    lines: dict[str, set[str]] = {}
    owner.execute("set search_path = pg_catalog")  # so that all names are told in full
    for row in owner.execute(EVERYTHING).fetchall():
        line = lines.setdefault(f"{row.kind} {row.name}", set())
        if row.grantee is not None and not row.is_owner:
            who = names.get(row.grantee, "PUBLIC" if row.grantee == 0 else f"role {row.grantee}")
            option = " with grant option" if row.may_grant else ""
            line.add(f"{who} {row.privilege.lower()}{option}")
    return [f"{what}: {', '.join(sorted(may)) or '-'}" for what, may in sorted(lines.items())]


def test_t05_the_privileges_on_all_objects_are_exactly_the_listed_ones(owner, roles):
    found = granted(owner, roles)

    if os.environ.get("WRITE_ACL"):
        ACL.write_text("\n".join(found) + "\n")
    assert found == ACL.read_text().splitlines()


def test_t05_whatever_the_list_says_public_calls_and_reads_nothing():
    public = [line for line in ACL.read_text().splitlines() if "PUBLIC" in line]

    assert all(line.startswith("type ") and line.endswith(": PUBLIC usage") for line in public)


@pytest.mark.parametrize("kind", ["producer", "worker", "viewer", "operator", "nobody"])
def test_t08_the_store_is_no_schema_that_anybody_may_name(owner, roles, kind):
    rights = [("howdah", "usage"), ("howdah", "create"), ("_howdah", "usage")]
    may = [
        owner.execute("select has_schema_privilege(%s, %s, %s)", [roles[kind], *right]).fetchone()
        for right in rights
    ]

    assert [each[0] for each in may] == [kind != "nobody", False, False]
