"""The short, private folder in which a server's socket lies: socket paths end at 107 bytes."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from howdah.embedded.errors import Unusable

LONGEST_TMP = 60


def socket_dir_of(data_dir: Path) -> Path:
    """The folder for that data directory's socket, made if need be: `<tmp>/howdah-<uid>/<hash>`.

    Whoever can enter it can do everything in the database, so it must be nobody's but ours.
    """
    short = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return _private(_private(_tmp() / f"howdah-{os.geteuid()}") / short)


def _tmp() -> Path:
    tmp = tempfile.gettempdir()
    # To libpq a comma is the end of a host.
    fits = len(os.fsencode(tmp)) <= LONGEST_TMP and "," not in tmp
    return Path(tmp if fits else "/tmp")  # noqa: S108 (what we use is a folder of mode 700 in it)


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise Unusable(folder, error.strerror or str(error)) from error
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable(folder, "it is not a folder")
    if found.st_uid != os.geteuid():
        raise Unusable(folder, "it belongs to another user")
    if found.st_mode & 0o077:
        raise Unusable(folder, "other users may enter it (its mode should be 700)")
    return folder
