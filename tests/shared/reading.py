"""Follows a page as its reader would: block by block, in one folder, on one database."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from pages import ROOT, Block, blocks_of
from terminal import Terminal

LOG = "DOCS_BLOCKS_LOG"  # a file in which each block that ran is noted: page:line


class Reader:
    """Has a folder, a database, a shell, and names that Python's blocks share.

    `blanks` are what the page leaves to its reader, each with what is filled in: `HOST`. `means`
    says by kind what is done with a block; a test may set others. `beside` is what happens
    meanwhile, after each block: a worker's work, for example.
    """

    def __init__(self, page: str, folder: Path, dsn: str, terminal: Terminal) -> None:
        self.page, self.folder, self.dsn, self.terminal = page, folder, dsn, terminal
        self.blocks = blocks_of(page)
        self.blanks: dict[str, str] = {}
        self.said = ""
        self.beside: Callable[[], Awaitable[object]] = nothing
        module = ModuleType(f"blocks_of_{Path(page).stem}")
        sys.modules[module.__name__] = module
        self.module, self.names = module.__name__, vars(module)
        self.means: dict[str, Callable[[str, Block], Any]] = {
            "python": self._python, "sql": self._sql, "bash": self._bash, "console": self._console,
            "text": self._text, "toml": self._toml, "json": self._json,
        }  # fmt: skip
        self._written: list[tuple[Block, int]] = []
        self._typed = ""

    async def follow(self, *headings: str) -> str:
        """Run what is below these headings (by default, all of the page); gives what its commands
        printed."""
        followed = [each for each in self.blocks if not headings or each.heading in headings]
        assert followed, f"{self.page} has no such blocks"
        self._check_blanks(followed)
        printed = []
        for block in followed:
            if block.not_run:
                continue
            with redirect_stdout(io.StringIO()) as out:
                async with asyncio.timeout(self.terminal.patience + 5):
                    await self._run(block)
                    await self.beside()
            self.said += out.getvalue()
            printed.append(self.said)
        for block, since in self._written:
            assert self._was_used(str(block.file), since), (
                f"nothing has used {block.file} ({block})"
            )
            _note(block)
        self._written = []
        return "".join(printed)

    def _check_blanks(self, blocks: list[Block]) -> None:
        missing = [blank for blank in self.blanks if not any(blank in each.text for each in blocks)]
        assert not missing, f"{self.page} has no such blanks: {missing}"

    async def _run(self, block: Block) -> None:
        text = self._filled_in(block.text)
        if block.kind != "text":
            self.said = ""
        if block.file:
            self._write(block, text)
            return
        assert block.kind in self.means, f"{block}: nobody knows how to run {block.kind!r}"
        found = self.means[block.kind](text, block)
        if inspect.isawaitable(found):
            await found
        _note(block)

    def _filled_in(self, text: str) -> str:
        for blank in sorted(self.blanks, key=len, reverse=True):
            text = text.replace(blank, self.blanks[blank])
        return text

    def _write(self, block: Block, text: str) -> None:
        """To the file that the block names, seen from where the shell is; behind what is there."""
        self.terminal.type(f"cat >> {block.file} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK")
        self._written.append((block, self._now()))

    def _now(self) -> int:
        """By the clock that dates files, which may be some milliseconds behind `time.time_ns`."""
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            return os.stat(file.fileno()).st_mtime_ns

    def _was_used(self, file: str, since: int) -> bool:
        """Imported after that, or named by a command, or in what one printed."""
        compiled = self.folder.rglob(f"__pycache__/{Path(file).stem}.*.pyc")
        return file in self._typed or any(each.stat().st_mtime_ns >= since for each in compiled)

    async def _python(self, text: str, block: Block) -> None:
        """A piece of a program, in which the page's other pieces are known; it may await."""
        placed = "\n" * (block.line - 1) + text  # so that tracebacks show the page
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(placed, ROOT / self.page, "exec", flags=flags, dont_inherit=True)
        running = eval(code, self.names)
        if inspect.iscoroutine(running):
            await running

    async def _sql(self, text: str, block: Block) -> None:
        await asyncio.to_thread(self._sql_at_once, text)

    def _sql_at_once(self, text: str) -> None:
        """As psql would run it: each statement by itself, no parameters."""
        with psycopg.connect(self.dsn, autocommit=True) as db:
            for statement in statements_of(text):
                found = db.execute(statement)
                if found.description:
                    self.said = "\n".join(" | ".join(map(str, row)) for row in found.fetchall())

    async def _bash(self, text: str, block: Block) -> None:
        self._typed += text
        self.said = await asyncio.to_thread(self.terminal.type, text)
        self._typed += self.said

    async def _console(self, text: str, block: Block) -> None:
        """Commands after `$ `, each with what it prints."""
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            await self._bash(command, block)
            self._text(expected, block)

    def _text(self, text: str, block: Block) -> None:
        """What was printed last: these lines in this order; `…` stands for whatever there is."""
        lines = [line for line in text.splitlines() if line.strip(" …")]
        assert re.search("[^\0]*?".join(map(_pattern, lines)), self.said), f"{block}: {self.said}"

    def _toml(self, text: str, block: Block) -> None:
        tomllib.loads(text)

    def _json(self, text: str, block: Block) -> None:
        json.loads(text)


def statements_of(script: str) -> list[str]:
    """The statements of a script, cut at the semicolons that end a line (before a comment)."""
    parts = re.split(r";[ \t]*(?:--[^\n]*)?(?:\n|\Z)", script)
    return [part for part in parts if part.strip()]


def _pattern(line: str) -> str:
    words = (re.escape(word).replace("…", r"[^\n]*?") for word in line.split())
    return r"[ \t│]*".join(words)


async def nothing() -> None:
    """What happens beside, if not told otherwise."""


def a_worker_of(reader: Reader) -> Callable[[], Awaitable[None]]:
    """Runs what is ready, by the page's own app, once there is one."""

    async def work() -> None:
        if app := reader.names.get("app"):
            async with app.worker() as worker:
                await worker.idle()

    return work


def _note(block: Block) -> None:
    if log := os.environ.get(LOG):
        with open(log, "a") as file:
            file.write(f"{block}\n")
