"""Counts the code blocks of README and docs, and those that were run: `make docs-blocks`.

Runs tests/docs with all that is long, and compares. Fails where a block was not run without the page
saying why, or where a test failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "shared"))

from pages import Block, blocks_of, pages  # noqa: E402
from reading import LOG  # noqa: E402


def table(blocks: Iterable[Block], ran: set[str]) -> tuple[list[str], list[str]]:
    """A line for each page, and what was not run although it should have been."""
    by_page: dict[str, list[Block]] = {}
    for block in blocks:
        by_page.setdefault(block.page, []).append(block)
    lines = [f"{'page':36} {'blocks':>6} {'run':>6} {'not to be run':>14}"]
    for page, found in [*by_page.items(), ("all", [b for each in by_page.values() for b in each])]:
        marked = sum(block.not_run is not None for block in found)
        done = sum(str(block) in ran for block in found)
        lines.append(f"{page:36} {len(found):6} {done:6} {marked:14}")
    left = [
        str(b) for each in by_page.values() for b in each if not b.not_run and str(b) not in ran
    ]
    return lines, left


def main() -> int:
    """0 when as many were run as there are to be run."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "blocks"
        log.touch()
        tests = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", "tests/docs", *sys.argv[1:]],
            cwd=ROOT, env={**os.environ, LOG: str(log)}, check=False,
        )  # fmt: skip
        ran = {*log.read_text().split("\n")}
    lines, left = table([block for page in pages() for block in blocks_of(page)], ran)
    print(*lines, *(f"not run: {each}" for each in left), sep="\n")
    return 1 if left or tests.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
