"""The page on systemd: its unit is sound, and what it starts says when it is ready."""

from __future__ import annotations

import asyncio
import configparser
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

APP = "from howdah import App\n\napp = App()\n"


async def test_the_unit_starts_a_worker_that_tells_when_it_is_ready(
    reading: Any, dsn: str, folder: Path, tmp_path: Path
) -> None:
    (folder / "app").mkdir()
    (folder / "app" / "jobs.py").write_text(APP)
    unit = Unit(folder, tmp_path)
    reader = reading("docs/how-to/run-under-systemd.md", dsn)
    reader.blanks["postgresql://USER:PASSWORD@HOST/DATABASE"] = dsn
    reader.means.update(ini=unit.is_sound, sh=unit.starts_with)

    await reader.follow()

    assert unit.told.startswith("READY=1")


class Unit:
    """The page's service, and systemd's part: an environment, a socket to be told on, SIGTERM."""

    def __init__(self, folder: Path, tmp_path: Path) -> None:
        self.folder, self.path = folder, tmp_path / "howdah-worker.service"
        self.service: Any = {}
        self.told = ""

    def is_sound(self, text: str, _: Any) -> None:
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(text)
        self.service = parser["Service"]
        assert self.service["Type"] == "notify"
        here = text.replace("/srv/app/.venv/bin/howdah", self._command())
        self.path.write_text(here.replace("/srv/app", str(self.folder)))
        if shutil.which("systemd-analyze"):
            ran = subprocess.run(
                ["systemd-analyze", "verify", self.path],
                capture_output=True,
                text=True,
                check=False,
            )
            assert "howdah-worker" not in ran.stderr, ran.stderr

    async def starts_with(self, text: str, _: Any) -> None:
        env = dict(line.split("=", 1) for line in text.splitlines())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(self.folder / "told"))
            told.setblocking(False)
            command = shlex.split(self.service["ExecStart"])
            worker = await asyncio.create_subprocess_exec(
                self._command(), *command[1:], cwd=self.folder, stderr=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.folder / "told"),
                     "WATCHDOG_USEC": f"{self.service['WatchdogSec']}000000", **env},
            )  # fmt: skip
            async with asyncio.timeout(60):
                said = await asyncio.get_running_loop().sock_recv(told, 1000)
                worker.terminate()
                assert await worker.wait() == 0
        self.told = said.decode()

    def _command(self) -> str:
        return str(Path(sys.executable).parent / "howdah")
