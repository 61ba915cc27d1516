"""A file system in memory that can be made full, for the tables of a run's database.

It is full because its size is set to what is used, so a full one costs no memory. Needs root, who
may mount; in a mount namespace of the run's own if `private_mounts()` was called before anything
else, so that nobody else sees it, and it is gone with the last process of the run.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from chaos.server import Server
from chaos.world import NotHere

CLONE_NEWNS = 0x00020000
SIZE = "3g"
TRIES = 10


def private_mounts() -> bool:
    """Take this process, and all that it starts from now on, into a mount namespace of its own.

    To be called before there are other threads. False where the machine does not permit it.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return False
    return _run("mount", "--make-rprivate", "/") is None


class Disk:
    """A mounted tmpfs, with a folder for a tablespace; `close()` it when its server is gone."""

    def __init__(self, folder: Path, size: str = SIZE) -> None:
        self.folder, self.size = folder, size
        folder.mkdir()
        if said := _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder):
            folder.rmdir()
            raise NotHere(f"this machine lets nobody mount a small disk ({said})")

    def space(self, name: str) -> Path:
        """A folder on it, for a tablespace."""
        space = self.folder / name
        space.mkdir(mode=0o700)
        return space

    def give_back(self, name: str) -> None:
        """Remove that folder, if there is one: the server it was for has gone."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def used(self) -> int:
        """Bytes of it that are in use."""
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def fill(self) -> int:
        """Leave no room on it; the bytes that are there."""
        for left in reversed(range(TRIES)):
            used = self.used
            try:
                self._resize(str(used))
            except RuntimeError:  # it has grown meanwhile: no disk is smaller than what is on it
                if not left:
                    raise
            else:
                break
        return used

    def make_room(self) -> None:
        """As much room as there was at first."""
        self._resize(self.size)

    def close(self) -> None:
        """Unmount it and remove its folder."""
        if self.folder.is_mount():
            _run("umount", "-l", self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _resize(self, size: str) -> None:
        if said := _run("mount", "-o", f"remount,size={size}", self.folder):
            raise RuntimeError(f"the disk keeps its size: {said}")


async def move_to(server: Server, disk: Disk) -> None:
    """Have all tables of the server's database on that disk; its WAL stays where it is."""
    space = disk.space(server.folder.name)
    admin = server.dsn.replace("/howdah?", "/postgres?")
    async with server.session(dsn=admin) as session:
        await session.execute(f"create tablespace small location '{space}'")
        await session.execute("alter database howdah set tablespace small")
    server.disk = disk


def _run(*command: object) -> str | None:
    """What it said if it failed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    return (done.stderr.strip() or "failed") if done.returncode else None
