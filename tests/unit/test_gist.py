"""The one line of an error that log lines, tables and messages show."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from howdah.jobs import storable
from howdah.printable import gist


def _raised(do: Callable[[], object]) -> str:
    """What is stored of an error."""
    try:
        do()
    except Exception as error:
        return storable("".join(traceback.format_exception(error)).rstrip())
    raise AssertionError("it did not raise")


def _chained() -> None:
    try:
        raise KeyError("cause")
    except KeyError as error:
        raise ValueError("no such city\n\nlook at the map") from error


def _in_a_group() -> None:
    raise ExceptionGroup("two of them", [ValueError("one"), KeyError("other")])


def _deep(levels: int) -> None:
    if levels:
        return _deeper(levels - 1)
    raise ValueError("at the bottom")


def _deeper(levels: int) -> None:
    return _deep(levels)  # two functions in turns: else the traceback would not repeat them


def test_it_is_the_type_and_the_first_line_of_the_message() -> None:
    def noted() -> None:
        error = ValueError("no such city\nlook at the map")
        error.add_note("and at the list")
        raise error

    assert gist(_raised(noted)) == "ValueError: no such city"
    assert gist(_raised(_chained)) == "ValueError: no such city"
    assert gist(_raised(lambda: compile("x y", "file", "exec"))).startswith("SyntaxError: invalid")


def test_of_a_group_it_is_the_groups_own() -> None:
    assert gist(_raised(_in_a_group)) == "ExceptionGroup: two of them (2 sub-exceptions)"


def test_a_traceback_that_was_cut_has_its_gist_still() -> None:
    whole = _raised(lambda: _deep(400))

    assert "characters left out" in whole
    assert gist(whole) == "ValueError: at the bottom"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (None, ""),
        (" \n", ""),
        ("lost: its worker was stopped", "lost: its worker was stopped"),
        ("\nNoMethodError: nil\n\tfrom a.rb:1", "NoMethodError: nil"),
        ("  only indented\n  lines", "lines"),
        ("ValueError: \x1b[2J\x85red", r"ValueError: \x1b[2J"),
    ],
)
def test_of_other_texts_it_is_the_first_line(error: str | None, line: str) -> None:
    assert gist(error) == line
