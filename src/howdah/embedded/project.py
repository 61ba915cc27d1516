"""One embedded PostgreSQL per project, which all processes of the project find and share.

    with ensure(project_root()) as server:        # found, or started until the end of the block
        connect(server.dsn())

The data lie in `.howdah/pg<major>/` under the project's root. Every function takes that root.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from howdah.embedded import postmaster
from howdah.embedded import server as servers
from howdah.embedded.binaries import find_binaries
from howdah.embedded.errors import NoBinaries, OtherMajor, Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from howdah.embedded.binaries import Binaries
    from howdah.embedded.server import Server

HOME = ".howdah"
MARKS = ("pyproject.toml", "howdah.toml", HOME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What there is: `server` only while one runs; `version` is "18.6", or "18" of data at rest.

    `size` is in bytes on disk.
    """

    root: Path
    data_dir: Path | None
    server: Server | None
    version: str | None
    size: int

    @property
    def running(self) -> bool:
        """Whether a server takes connections."""
        return self.server is not None

    @property
    def pid(self) -> int | None:
        """The server's process."""
        return self.server.pid if self.server else None

    @property
    def dsn(self) -> str | None:
        """The address of the running server."""
        return self.server.dsn() if self.server else None


def project_root(start: Path | None = None) -> Path:
    """The nearest folder upwards that has a pyproject.toml, howdah.toml or .howdah; else `start`.

    `start` is the current folder unless it is given.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if any((folder / mark).exists() for mark in MARKS):
            return folder
    return start


def running(root: Path) -> Server | None:
    """The project's server, if it runs and takes connections."""
    found = (servers.find(data_dir) for data_dir in _data_dirs(root))
    return next((server for server in found if server), None)


def ensure(root: Path, *, settings: Mapping[str, str] | None = None) -> Server:
    """The project's server: the one that runs, or one started that dies with this process.

    Cheap where one runs, and safe to call from many processes at once, and again after the
    server's owner has gone. The settings count only if this call starts it.
    """
    return running(root) or _start(root, settings, stay=False)


def start_staying(root: Path, *, settings: Mapping[str, str] | None = None) -> Server:
    """The project's server, started to stay until it is stopped.

    A server that runs already is returned as it is: its `owner` tells if it dies with a command.
    """
    return running(root) or _start(root, settings, stay=True)


def stop(root: Path) -> Server | None:
    """Stop the project's server, whoever owns it; returns what it was, None if none ran."""
    found = (servers.find(data_dir, mute=True) for data_dir in _data_dirs(root))
    server = next((server for server in found if server), None)
    if server:
        server.stop()
    return server


def status(root: Path) -> Status:
    """What there is in the project, looked up now; it starts nothing."""
    server = running(root)
    data_dir = server.data_dir if server else next(iter(_data_dirs(root)), None)
    return Status(
        root=root,
        data_dir=data_dir,
        server=server,
        version=_version(server, data_dir),
        size=_size(data_dir) if data_dir else 0,
    )


def reset(root: Path) -> list[Path]:
    """Stop the server and delete the project's data, of all versions; returns what was deleted."""
    deleted = _data_dirs(root)
    for data_dir in deleted:
        if server := servers.find(data_dir, mute=True):
            server.stop()
        with postmaster.guard(data_dir):
            if not postmaster.wait_until_free(data_dir):
                raise Unusable(data_dir, "a server still lives there, and could not be stopped")
            shutil.rmtree(data_dir)
    return deleted


def _start(root: Path, settings: Mapping[str, str] | None, *, stay: bool) -> Server:
    binaries = _binaries(root)
    data_dir = _home(root) / f"pg{binaries.major}"
    return servers.start(data_dir, binaries=binaries, settings=settings, stay=stay)


def _binaries(root: Path) -> Binaries:
    """Binaries that can read the project's data; any where there are no data yet."""
    data_dirs = _data_dirs(root)
    for data_dir in data_dirs:
        try:
            return find_binaries(major=servers.data_major(data_dir))
        except NoBinaries:
            continue
    binaries = find_binaries()
    for data_dir in data_dirs:
        # Starting afresh beside them would look as if all jobs had vanished.
        found = servers.data_major(data_dir) or 0
        raise OtherMajor(data_dir, found=found, wanted=binaries.major)
    return binaries


def _home(root: Path) -> Path:
    home = root.resolve() / HOME
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (ignore := home / ".gitignore").exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise Unusable(home, error.strerror or str(error)) from error
    return home


def _data_dirs(root: Path) -> list[Path]:
    """The project's data directories, the newest version first."""
    majors = {
        path: major
        for path in (root.resolve() / HOME).glob("pg*")
        if (major := servers.data_major(path)) and path.name == f"pg{major}"
    }
    return sorted(majors, key=lambda path: majors[path], reverse=True)


def _version(server: Server | None, data_dir: Path | None) -> str | None:
    if server:
        return "{}.{}".format(*server.version)
    major = servers.data_major(data_dir) if data_dir else None
    return str(major) if major else None


def _size(folder: Path) -> int:
    sizes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # a running server removes files while we look
                continue
    return sizes
