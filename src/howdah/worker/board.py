"""Which jobs run in this process, written where its parent can still read it after it has died."""

from __future__ import annotations

import mmap
import os
import tempfile
from uuid import UUID

PLACE = 17  # bytes: how it runs, 0 where nothing does, and its id
HERE, APART = b"\x01", b"\x02"  # in this process, or in one that dies by itself
LARGEST = 1 << 24  # bytes of a board: a million jobs


def anonymous_file() -> int:
    """A file descriptor of a file without a name, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("howdah board")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Board:
    """The running jobs' ids in shared memory: no call to the system as they come and go."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._memory: mmap.mmap | None = None
        self._free: list[int] = []

    def make_room(self, places: int) -> None:
        """For so many jobs at once."""
        os.ftruncate(self._file, places * PLACE)
        self._memory = mmap.mmap(self._file, places * PLACE)
        self._free = [*range(0, places * PLACE, PLACE)]

    def enter(self, job_id: UUID, how: bytes = HERE) -> int:
        """A job begins; gives its place. Where there is no room, nobody will know of it: -1."""
        if self._memory is None or not self._free:
            return -1
        place = self._free.pop()
        self._memory[place : place + PLACE] = how + job_id.bytes
        return place

    def leave(self, place: int) -> None:
        """The job in that place has ended."""
        if self._memory is not None and place >= 0:
            self._memory[place] = 0
            self._free.append(place)


def read_board(file: int, hows: bytes = HERE) -> list[UUID]:
    """The jobs on the board that run so, for whoever holds its file."""
    found = os.pread(file, min(os.fstat(file).st_size, LARGEST), 0)
    whole = len(found) - len(found) % PLACE  # a job may have written to a file that is not its own
    places = (found[at : at + PLACE] for at in range(0, whole, PLACE))
    return [UUID(bytes=each[1:]) for each in places if each[0] in hows]
