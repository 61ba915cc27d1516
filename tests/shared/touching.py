"""What a piece of work touches of the live jobs, as the server counts it: whatever the plan is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

VACUUM = "vacuum (index_cleanup on) _howdah.job"  # what other tests left would be counted
COUNT = """
with part (r) as (
    select '_howdah.job'::regclass::oid
    union all select indexrelid from pg_index where indrelid = '_howdah.job'::regclass)
select pg_stat_get_xact_numscans('_howdah.job'::regclass)::int as scans,
       sum(pg_stat_get_xact_tuples_returned(r))::int as rows,
       sum(pg_stat_get_xact_blocks_fetched(r))::int as blocks
from part
"""


class Touched(NamedTuple):
    """Sequential scans of the live jobs, rows and index entries read from them, and blocks."""

    scans: int
    rows: int
    blocks: int


def touched(door: Any, work: Callable[[], object]) -> Touched:
    """What the work touches on the door's connection."""
    with door.transaction():
        [before] = door.rows(COUNT)
        work()
        [after] = door.rows(COUNT)
    return Touched(*(int(now - then) for now, then in zip(after, before, strict=True)))
