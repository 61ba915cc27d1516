"""When a child is silent for too long, and when a dead one is replaced: pure."""

from __future__ import annotations

MARGIN = 5.0  # seconds before its lease could be lost in which a silent child is ended
FIRST_AGAIN, LONGEST_AGAIN = 0.25, 10.0  # seconds between a death and the next start
LONGEST_WITHOUT_DATABASE = 2.0  # seconds: how soon its return is to be noticed
LIVED_WELL = 30.0  # seconds after which earlier deaths are forgotten


def silence_allowed(lost_after: float) -> float:
    """Seconds for which a child may not turn its loop: its jobs are still its own by then."""
    return lost_after - min(MARGIN, lost_after / 4)


def beat_every(lost_after: float) -> float:
    """Seconds between two beats of a child to its parent."""
    return min(1.0, lost_after / 16)


def quiet_for(every: float, turns: float) -> float:
    """Seconds for which a child says nothing beyond its usual beat, asleep: it holds no jobs.

    Were it to claim some and hang at once, it would still be ended before they are lost.
    """
    return every * (min(turns, 4.0) - 1)


def heartbeat_every(lost_after: float) -> float:
    """Seconds between two heartbeats of a parent to the store."""
    return min(2.0, lost_after / 15)  # what it is told is to be heard in time, however long that is


def heartbeat_within(lost_after: float) -> float:
    """Seconds until a heartbeat is given up and tried on a new connection."""
    return min(10.0, max(1.0, lost_after / 4))


def quiet_after(lost_after: float) -> float:
    """Seconds of silence, of a process or of the store, that probes report."""
    return min(10.0, lost_after / 3)


def restart_after(deaths: int, longest: float = LONGEST_AGAIN) -> float:
    """Seconds until a child is replaced after so many deaths in a row: the first time at once."""
    return 0.0 if deaths <= 1 else min(longest, FIRST_AGAIN * 2 ** (min(deaths, 20) - 2))


def knock_after(refusals: int, chance: float) -> float:
    """Seconds until a server that has refused so many in a row, for a while, is asked again.

    `chance`, of 0 to 1, keeps many from asking in step.
    """
    return restart_after(refusals + 1, LONGEST_WITHOUT_DATABASE) * (1 + chance) / 2
