"""What follows the pages can fail: by a false block, an unused one, one that was not counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docs.count_blocks import table
from pages import blocks_of, pages
from reading import LOG

PAGE = """
# A page

```python
n = 1
```

<!-- not run: it takes a second machine -->
```bash
ssh elsewhere
```

```python theirs
from celery import Celery
```
"""


def page_of(tmp_path: Path, *blocks: tuple[str, str]) -> str:
    path = tmp_path / "page.md"
    path.write_text("".join(f"```{kind}\n{text}\n```\n\n" for kind, text in blocks))
    return str(path)


def test_blocks_have_a_line_a_kind_and_the_reason_why_they_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)

    found = blocks_of("page.md", tmp_path)

    assert [(each.line, each.kind, each.heading) for each in found] == [
        (5, "python", "A page"), (10, "bash", "A page"), (14, "python", "A page"),
    ]  # fmt: skip
    assert [each.not_run for each in found] == [
        None, "it takes a second machine", "of another system",
    ]  # fmt: skip


def test_what_was_not_run_is_told_and_what_need_not_be_is_counted_apart(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    blocks = blocks_of("page.md", tmp_path)

    all_run, nothing_left = table(blocks, {"page.md:5"})
    none_run, left = table(blocks, set())

    assert all_run[-1].split() == ["all", "3", "1", "2"]
    assert none_run[-1].split() == ["all", "3", "0", "2"]
    assert (nothing_left, left) == ([], ["page.md:5"])


def test_every_page_with_blocks_to_run_is_followed_by_a_test_here() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    with_blocks = [page for page in pages() if any(not b.not_run for b in blocks_of(page))]

    assert len(with_blocks) > 10
    assert [page for page in with_blocks if f'reading("{page}"' not in tests] == []


FALSE = {
    "a statement that the store refuses": ("task", ("sql", "select howdah.enqueue(task => '');")),
    "a command that fails": ("a command failed", ("bash", "true\nfalse\ntrue")),
    "a command that ends the shell": ("a command failed", ("bash", "exit 0")),
    "a name that nobody gave": ("nobody", ("python", "await nobody.enqueue()")),
    "an extra that is not ours": ("telepathy", ("bash", 'pip install "howdah[telepathy]"')),
    "another output": ("one two", ("bash", "echo one two"), ("text", "one three")),
    "another output of a `$` line": ("two", ("console", "$ echo one\none\n$ echo two\nthree")),
    "a file that nothing uses": ("nothing has used", ("python", "# unused.py\nn = 1")),
    "a kind that nobody knows": ("nobody knows how", ("cobol", "STOP RUN.")),
    "TOML that is none": ("Expected", ("toml", "[a")),
}


@pytest.mark.parametrize("why", FALSE)
async def test_a_false_page_is_found_out_and_its_false_block_not_counted(
    reading: Any, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    log = tmp_path / "log"
    log.touch()
    monkeypatch.setenv(LOG, str(log))
    said, *blocks = FALSE[why]

    with pytest.raises(Exception, match=said):
        await reading(page_of(tmp_path, *blocks), dsn).follow()

    assert len(log.read_text().splitlines()) == len(blocks) - 1


async def test_a_page_shares_its_names_its_files_its_shell_and_its_database(
    reading: Any, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    page = page_of(
        tmp_path,
        ("python", "# told.py\nWORD = 'abc'"),
        ("python", "import told\nimport asyncio\nawait asyncio.sleep(0)\nword = told.WORD"),
        ("sql", "select howdah.enqueue('one'); -- a comment; with semicolons\nselect 'a;b';"),
        ("bash", "export NAME=ada\ncd ."),
        ("console", "$ echo $NAME  and  more\nada … more"),
        ("python", "assert word == 'abc'\nprint(word, 'is here')"),
        ("text", "abc is"),
        ("bash", "howdah jobs list"),
        ("text", "ready  default  one"),
    )

    await reading(page, dsn).follow()

    assert len((tmp_path / "log").read_text().splitlines()) == 9
