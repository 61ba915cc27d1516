"""The small disk of a run: what was put on it for a server goes with that server."""

from __future__ import annotations

import pytest

from chaos import disk as disks
from chaos.disk import Disk
from chaos.server import Server


@pytest.fixture
def said(monkeypatch):
    """What mount says, one word after the other; then nothing more, and it has worked."""
    words: list[str] = []
    monkeypatch.setattr(disks, "_run", lambda *_: words.pop(0) if words else None)
    return words


async def test_a_server_that_is_removed_leaves_nothing_on_the_disk(tmp_path, said):
    disk = Disk(tmp_path / "disk")
    server = Server(tmp_path / "server-2")
    server.disk = disk
    (disk.space("server-2") / "table").write_text("rows")
    kept = disk.space("server-3")

    await server.remove()

    assert [*disk.folder.iterdir()] == [kept]


def test_a_disk_that_grows_while_it_is_filled_is_filled_at_its_new_size(tmp_path, said):
    disk = Disk(tmp_path / "disk")
    said += ["bad option", "bad option"]

    assert disk.fill() > 0
    assert said == []
