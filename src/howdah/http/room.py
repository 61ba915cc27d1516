"""How many calls may be in flight: never more than there are files to be had."""

from __future__ import annotations

import os
import resource

RESERVE = 48  # for the database, logs, what the tasks of the app open
MOST = 1000  # calls at once, unless the settings say otherwise


def in_flight(wanted: int) -> int:
    """So many calls at once: half of what is left, since as many connections may be kept idle."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (soft - _open() - RESERVE) // 2))


def _open() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 32
