"""Installs each peer into a cache outside of git, with the usual tools: venv and pip, or npm."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ADAPTERS = Path(__file__).parents[1] / "adapters"
AGAIN = 600.0  # seconds for one installation
_VERSION = "import sys; print(sys.version_info[0], sys.version_info[1])"
_NAME = re.compile(r"^[\w.-]+")


class CannotInstall(Exception):
    """Why a peer is not measured."""


@dataclass(frozen=True, slots=True)
class Installed:
    """How a peer's adapter is started, and what was installed."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    versions: Mapping[str, str]


def cache() -> Path:
    """Where peers, and the server's data, are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HOWDAH_BENCH_CACHE") or Path(home) / "howdah" / "bench")


def install(name: str, peer: Mapping[str, Any]) -> Installed:
    """The peer, installed if it is not yet; raises CannotInstall."""
    try:
        return _KINDS[peer["kind"]](name, peer)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise CannotInstall("; ".join(said[-2:]) or str(error)) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(str(error)) from error


def _here(name: str, peer: Mapping[str, Any]) -> Installed:
    return _adapter(Path(sys.executable), name, peer["packages"])


def _python(name: str, peer: Mapping[str, Any]) -> Installed:
    folder = cache() / "venv" / name
    python = folder / "bin" / "python"
    if not _is_done(folder, peer["packages"]):
        shutil.rmtree(folder, ignore_errors=True)
        _run(_interpreter(tuple(peer.get("minimum", (3, 11)))), "-m", "venv", folder)
        _run(python, "-m", "pip", "install", "--quiet", *peer["packages"])
        _done(folder, peer["packages"])
    return _adapter(python, name, peer["packages"])


def _node(name: str, peer: Mapping[str, Any]) -> Installed:
    folder = cache() / "node" / name
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise CannotInstall("node and npm are needed")
    if not _is_done(folder, peer["packages"]):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        quietly = ("--silent", "--no-audit", "--no-fund")
        # Without the tag npm takes an old release rather than one that names a newer node.
        newest = [f"{package}@latest" for package in peer["packages"]]
        _run(npm, "install", *quietly, "--prefix", folder, *newest)
        _done(folder, peer["packages"])
    modules = folder / "node_modules"
    versions = {
        package: json.loads((modules / package / "package.json").read_text())["version"]
        for package in peer["packages"]
    }
    versions["node"] = _run(node, "--version").strip().lstrip("v")
    return Installed((node, str(ADAPTERS / f"{name}.cjs")), {"NODE_PATH": str(modules)}, versions)


_KINDS = {"here": _here, "python": _python, "node": _node}


def _adapter(python: Path, name: str, packages: Sequence[str]) -> Installed:
    names = [found[0] for package in packages if (found := _NAME.match(package))]
    script = (
        "import json, platform, sys; from importlib.metadata import version; "
        "print(json.dumps({n: version(n) for n in sys.argv[1:]}"
        " | {'python': platform.python_version()}))"
    )
    versions = json.loads(_run(python, "-c", script, *names))
    file = ADAPTERS / f"{name.replace('-', '_')}_adapter.py"
    return Installed((str(python), str(file)), {}, versions)


def _interpreter(minimum: tuple[int, int]) -> str:
    """The Python that runs us, so that all are compared on one; a newer one where it is needed."""
    pyenv = Path.home() / ".pyenv" / "versions"
    usual = [f"python3.{minor}" for minor in (13, 12, 14)]
    others = [str(path) for path in sorted(pyenv.glob("3.1[2-9]*/bin/python"), reverse=True)]
    ours = os.path.realpath(sys.executable)
    for python in (ours, *filter(shutil.which, usual), *others):
        try:
            found = tuple(map(int, _run(python, "-c", _VERSION).split()))
        except (OSError, subprocess.CalledProcessError):  # a shim with nothing behind it
            continue
        if found >= minimum:
            return str(python)
    raise CannotInstall(f"no Python {minimum[0]}.{minimum[1]} or newer was found")


def _run(*command: str | Path) -> str:
    ran = subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=AGAIN)
    return ran.stdout.decode()


def _is_done(folder: Path, packages: Sequence[str]) -> bool:
    mark = folder / "installed.json"
    return mark.exists() and json.loads(mark.read_text()) == list(packages)


def _done(folder: Path, packages: Sequence[str]) -> None:
    (folder / "installed.json").write_text(json.dumps(list(packages)))
