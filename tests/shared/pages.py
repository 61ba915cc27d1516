"""The pages of this repository, and the code blocks on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
GLOBS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md", "docs/**/*.md")
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.(?:py|toml|ini))\n")


@dataclass(frozen=True)
class Block:
    """A code block: where it is, what it is, and why it is not run, if it is not."""

    page: str
    line: int
    heading: str
    kind: str
    text: str
    not_run: str | None

    @property
    def file(self) -> str | None:
        """The file that its first line says it is."""
        found = FILE.match(self.text)
        return found and found[1]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page, with blocks or without."""
    found = {path for glob in GLOBS for path in ROOT.glob(glob)}
    return sorted(str(path.relative_to(ROOT)) for path in found)


def blocks_of(page: str, root: Path = ROOT) -> list[Block]:
    """The blocks of a page, in order.

    One is not run where `<!-- not run: … -->` before it says why, or where its fence says that it
    is `theirs`: of another system.
    """
    return list(_blocks(page, (root / page).read_text("utf-8")))


def _blocks(page: str, text: str) -> Iterator[Block]:
    heading, before, is_heading = "", "", False
    for token in MarkdownIt().parse(text):
        if is_heading:
            heading = token.content
        is_heading = token.type == "heading_open"
        if token.type in {"fence", "code_block"}:
            kind, _, rest = token.info.partition(" ")
            why = NOT_RUN.search(before)
            not_run = why[1] if why else "of another system" if "theirs" in rest.split() else None
            line = token.map[0] + 2 if token.map else 0
            yield Block(page, line, heading, kind, token.content, not_run)
        before = token.content if token.type == "html_block" else ""
