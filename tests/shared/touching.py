"""What a piece of work touches of a table, as the server counts it: whatever the plan is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

VACUUM = "vacuum (index_cleanup on) _howdah.job"  # what other tests left would be counted
COUNT = """
with part (r) as (
    select '{table}'::regclass::oid
    union all select indexrelid from pg_index where indrelid = '{table}'::regclass)
select pg_stat_get_xact_numscans('{table}'::regclass)::int as scans,
       sum(pg_stat_get_xact_tuples_returned(r))::int as rows,
       sum(pg_stat_get_xact_blocks_fetched(r))::int as blocks
from part
"""


class Touched(NamedTuple):
    """Sequential scans, rows and index entries that were read, and blocks."""

    scans: int
    rows: int
    blocks: int


def touched(door: Any, work: Callable[[], object], table: str = "_howdah.job") -> Touched:
    """What the work touches of the table on the door's connection."""
    count = COUNT.format(table=table)
    with door.transaction():
        [before] = door.rows(count)
        work()
        [after] = door.rows(count)
    return Touched(*(int(now - then) for now, then in zip(after, before, strict=True)))
