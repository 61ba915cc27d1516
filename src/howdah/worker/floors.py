"""The scan floor: below which seq a claimer need not look, so that dead rows cost it nothing.

While somebody holds an old snapshot, no dead row can be removed, and a claim that begins at the
start of the index walks over all of them. Here is kept, for each priority of each queue, up to
which seq nothing ready is left. It is exact, because a transaction has its id before it draws a
seq, and a claim reads in this order: `hi`, the last seq given out; the snapshot; its own
transaction id; the rows.

* A claim raises the floors of where it looked: to `hi`, but to below the first job that is ready
  all the same, because it was not taken, or somebody has it locked and may yet roll back.
* Rows that can still appear up to `hi` belong to transactions that were in flight: those in the
  snapshot, and all from its xmax up to the claim's own id (xmax is one past the latest id that has
  *ended*, not the next to be given). Each is remembered once, with the previous claim's `hi`: it
  was not in flight then, so its rows lie above that.
* When a remembered one has ended, all floors drop to what was remembered for it, once.
* On another history (timeline, start of the server, or `hi` went back) nothing of this holds.

Numbers in, numbers out: no clock, no connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import msgspec

MOST = 64  # floors; the least recently used go first

Floor = tuple[str, int]  # queue and priority


class News(msgspec.Struct, frozen=True):
    """What a claim tells beside the jobs.

    Attributes:
        pending: whether somebody may be let in who waits for a key.
        hi: the last seq that was given out before it looked.
        snapshot: as PostgreSQL writes one, `xmin:xmax:xip,…`.
        history: the server's timeline and start.
        own: its transaction id; None: it changed nothing, and so raises no floor.
        floors: of each priority that it looked at: queue, priority, and the seq of the first job
            up to `hi` that is still ready; None: there is none.
    """

    pending: bool
    hi: int
    snapshot: str
    history: str
    own: str | None = None
    floors: list[tuple[str, int, int | None]] | None = None


class Snapshot:
    """Which transactions had ended when it was taken."""

    def __init__(self, text: str) -> None:
        _, xmax, running = text.split(":")
        self.xmax = int(xmax)
        self.running = {int(xid) for xid in running.split(",") if xid}

    def has_ended(self, xid: int) -> bool:
        """Whether it was committed or rolled back."""
        return xid < self.xmax and xid not in self.running

    def in_flight(self, own: int) -> Iterable[int]:
        """All that may have drawn a seq and had not ended, as a claim with that id sees it."""
        return chain(self.running, range(self.xmax, own))


class Floors:
    """The floors of one claimer: of claims that all have the same filter.

    Attributes:
        above: the floors themselves.
        open: transactions that may leave jobs behind, each with the seq above which those lie.
    """

    def __init__(self) -> None:
        self.above: dict[Floor, int] = {}
        self.open: dict[int, int] = {}
        self._hi = 0
        self._history: str | None = None

    def forget(self) -> None:
        """Begin at the start: after an error, or now and then as a net."""
        self.above.clear()
        self.open.clear()
        self._hi, self._history = 0, None

    def learn(self, news: News) -> bool:
        """Take in what a claim tells; whether there may be jobs where it did not look."""
        if self._history not in (None, news.history) or news.hi < self._hi:
            self.forget()
            return True
        self._history = news.history
        snapshot = Snapshot(news.snapshot)
        if news.own is not None:
            self._raise(news)
            for xid in snapshot.in_flight(int(news.own)):
                self.open.setdefault(xid, self._hi)
            self._hi = news.hi
        return self._drop([xid for xid in self.open if snapshot.has_ended(xid)])

    def only(self) -> tuple[Floor, int] | None:
        """The only floor there is; None: there is none, or another."""
        return next(iter(self.above.items())) if len(self.above) == 1 else None

    def hiding(self) -> list[int]:
        """The open transactions that may leave jobs below a floor."""
        highest = max(self.above.values(), default=0)
        return [xid for xid, seq in self.open.items() if seq < highest]

    def _raise(self, news: News) -> None:
        for queue, priority, waiting in news.floors or ():
            floor = news.hi if waiting is None else waiting - 1
            before = self.above.pop((queue, priority), 0)
            self.above[queue, priority] = max(before, floor)
        while len(self.above) > MOST:
            del self.above[next(iter(self.above))]

    def _drop(self, ended: list[int]) -> bool:
        if not ended:
            return False
        floor = min(self.open.pop(xid) for xid in ended)
        lowered = False
        for key, before in self.above.items():
            if before > floor:
                self.above[key], lowered = floor, True
        return lowered


def given(above: Mapping[Floor, int], *, look: bool) -> str:
    """Floors as a claim takes them, JSON; whether to look for other queues as well."""
    return msgspec.json.encode({"floors": _rows(above), "look": look}).decode()


def together(claimers: Sequence[Floors]) -> str:
    """Where nobody of several need look, as a heartbeat takes it, JSON."""
    shared = set.intersection(*(set(each.above) for each in claimers)) if claimers else set()
    above = {key: min(each.above[key] for each in claimers) for key in shared}
    still_open = {str(xid) for each in claimers for xid in each.hiding()}
    return msgspec.json.encode({"floors": _rows(above), "open": sorted(still_open)}).decode()


def _rows(above: Mapping[Floor, int]) -> list[tuple[str, int, int]]:
    return [(queue, priority, seq) for (queue, priority), seq in above.items()]
