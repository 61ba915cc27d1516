"""Starting launch.py, and holding what keeps an owned server alive: its launcher's stdin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

LAUNCH = Path(__file__).with_name("launch.py")

# Launchers of the servers that this process owns, by the server's pid. A registry, because a
# server must not die when somebody drops the value that describes it.
_owned: dict[int, subprocess.Popen[bytes]] = {}


def launch(
    mode: Literal["watch", "stay"],
    data_dir: Path,
    command: Sequence[str | Path],
    *,
    output: IO[bytes] | int,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Run the command through launch.py, in a session of its own; `keep` are fds to inherit.

    Its own session, because a Ctrl-C at the terminal is for the worker, which still needs the
    database to drain its jobs.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", LAUNCH, mode, data_dir, *command],
        stdin=subprocess.PIPE if mode == "watch" else subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment(),
        cwd="/",
        pass_fds=keep,
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    """Ours, without what would change how PostgreSQL behaves or which language it speaks."""
    strange = ("PG", "LC_", "LANG", "NOTIFY_SOCKET")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    return kept | {"LC_ALL": "C"}


def own(pid: int, launcher: subprocess.Popen[bytes]) -> None:
    """Remember that this process keeps the server alive."""
    _owned[pid] = launcher


def is_owned(pid: int) -> bool:
    """Whether this very process (no parent of it) keeps that server alive."""
    return pid in _owned


def disown(pid: int, *, timeout: float) -> None:
    """Wait for the launcher of a server that has ended, if it was ours."""
    if launcher := _owned.pop(pid, None):
        let_go(launcher)
        launcher.wait(timeout)


def let_go(launcher: subprocess.Popen[bytes]) -> None:
    """Close our end of its stdin, upon which it stops what it runs."""
    if launcher.stdin:
        launcher.stdin.close()


def _forget_after_fork() -> None:
    # A forked child would otherwise keep the server alive after its owner, or stop it before.
    for launcher in _owned.values():
        let_go(launcher)
        launcher.returncode = 0
    _owned.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
