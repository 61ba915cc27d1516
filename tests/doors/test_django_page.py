"""The page on Django, followed word for word from an empty folder to running jobs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from howdah.embedded import running

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "django.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def commands_of(page: str) -> str:
    """What its reader types: commands as they stand, files written, or added to, as it says."""
    lines = ["set -e", "trap 'howdah db stop >/dev/null 2>&1 || true' EXIT"]
    for kind, text in BLOCK.findall(page):
        if kind == "bash" and not text.startswith("pip install"):
            lines.append(text)
        elif kind == "python":
            file = text.partition("\n")[0].removeprefix("# ")
            lines.append(f"cat >> {file} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK")
    return "\n".join(lines)


@pytest.mark.slow  # eight seconds of CPU
def test_the_page_leads_from_an_empty_folder_to_running_jobs(tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "HOWDAH", "DATABASE"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    ran = subprocess.run(
        ["/bin/bash"],
        input=commands_of(PAGE.read_text()),
        cwd=tmp_path,
        env={**clean, "PATH": path, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "neither order nor job: 1 order" in ran.stdout
    assert len(re.findall(r" ready .*orders\.tasks", ran.stdout)) == 2
    assert len(re.findall(r" succeeded .*orders\.tasks", ran.stdout)) == 2
    assert "To: ada@example.org" in ran.stdout
    assert "To: bob@example.org" not in ran.stdout
    assert "Ran 2 tests" in ran.stderr
    assert running(tmp_path / "shop") is None
