"""The first app of the README: saved and pasted as it stands there, it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from howdah.embedded import running

README = Path(__file__).parents[2] / "README.md"


def _blocks_of(heading: str) -> list[tuple[str, str]]:
    """The language and the text of each block below a heading, in order."""
    section = README.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL)


def test_the_first_app_works_as_pasted(alone, project):
    blocks = _blocks_of("A first app")
    (project / "hello.py").write_text(next(text for kind, text in blocks if kind == "python"))
    commands = "".join(text for kind, text in blocks if kind == "bash")
    leave_nothing = "trap 'kill $! 2>/dev/null || true' EXIT\n"  # whatever goes wrong

    ran = subprocess.run(
        ["/bin/bash", "-e"],
        input=leave_nothing + commands,
        cwd=project,
        env={**alone.env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr
    assert '"welcome 42 (en)"' in ran.stdout
    assert "succeeded" in ran.stdout
    assert "the database is away" not in ran.stderr
    assert "warning" not in ran.stderr
    assert running(project) is None


def test_a_pasted_block_has_no_comments():
    """An interactive zsh, as on macOS, would take them for arguments."""
    commands = [text for kind, text in _blocks_of("A first app") if kind == "bash"]

    assert commands
    assert not any("#" in text for text in commands)
