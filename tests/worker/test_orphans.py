"""A process of the pool whose worker is gone."""

from __future__ import annotations

import socket
import subprocess
import sys

import msgspec
import pytest

from howdah.settings import Settings
from howdah.source import Source
from howdah.worker.pipe import Hello, line


@pytest.mark.parametrize("app", ["orphans:app", "orphans:nothing"])
def test_a_process_whose_worker_died_while_it_loaded_says_nothing(tmp_path, app):
    (tmp_path / "orphans.py").write_text("from howdah import App\napp = App()\n")
    source = msgspec.Raw(msgspec.json.encode(Source(app=app)))
    hello = Hello(source=source, settings=Settings(), path=[str(tmp_path), *sys.path])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "howdah.isolated", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
        ours.sendall(line(hello))

    _, said = process.communicate(timeout=30)

    assert said == b""
