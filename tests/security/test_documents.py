"""What docs/guarantees.md and docs/regressions.md say is held by tests that are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
ID = re.compile(r"`([\w/]+\.py)::(test_\w+)`(†?)")


def named(document: str) -> list[tuple[str, str, bool]]:
    """File, function, and whether the document says that it is among the long proofs."""
    text = (DOCS / document).read_text("utf-8")
    assert "::" in text
    assert len(ID.findall(text)) == text.count("::")
    return [(file, test, bool(long)) for file, test, long in ID.findall(text)]


@cache
def found_in(file: str) -> dict[str, str]:
    """The tests of a file, each with its marks, and those of the file, as source."""
    path = TESTS / file
    if not path.exists():
        return {}
    tree = ast.parse(path.read_text("utf-8"))
    marks = [ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Assign)
             and ast.unparse(node.targets[0]) == "pytestmark"]  # fmt: skip
    return {
        node.name: " ".join([*marks, *(ast.unparse(each) for each in node.decorator_list
                                       if "parametrize" not in ast.unparse(each))])
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }  # fmt: skip


@pytest.mark.parametrize("document", ["guarantees.md", "regressions.md"])
def test_every_test_that_a_document_names_is_there_and_runs_when_it_says(document):
    ids = named(document)

    missing = [f"{file}::{test}" for file, test, _ in ids if test not in found_in(file)]
    wrong = [
        f"{file}::{test}"
        for file, test, is_long in ids
        if ("mark.slow" in found_in(file).get(test, "mark.slow" * is_long)) != is_long
    ]
    skipped = [f"{file}::{test}" for file, test, _ in ids if "skip" in found_in(file).get(test, "")]

    assert len(ids) > 50
    assert (missing, wrong, skipped) == ([], [], [])


def test_every_promise_has_a_test():
    rows = [line for line in (DOCS / "guarantees.md").read_text("utf-8").splitlines()
            if line.startswith("| ") and not line.startswith("| promise")]  # fmt: skip

    assert len(rows) > 30
    assert [row for row in rows if not ID.search(row)] == []


def test_every_class_of_defects_has_a_test_or_a_reason():
    rows = re.findall(r"^\| (\d\d) \| [^|]+ \| (.+) \|$",
                      (DOCS / "regressions.md").read_text("utf-8"), re.MULTILINE)  # fmt: skip

    assert [number for number, _ in rows] == [f"{n:02}" for n in range(1, 90)]
    without = [(number, held) for number, held in rows if not ID.search(held)]
    assert [number for number, held in without
            if not held.startswith(("Cannot happen: ", "Waits: "))] == []  # fmt: skip
