"""Text as it may be shown: what could steer a terminal or forge a log line is escaped."""

from __future__ import annotations

import re
from typing import Any

# C0 and C1 controls, DEL, line separators, marks that turn the direction of text, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNSAFE_BUT_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))

_PRIVATE = frozenset({"args", "headers", "result", "error", "lease"})

_HEADER = "Traceback (most recent call last):"
_CHAINED = {
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
}
_CUT = re.compile(r"\n… \d+ characters left out …\n[^\n]*")  # see jobs.storable


def printable(text: str, *, lines: bool = False) -> str:
    """The text with unsafe characters escaped; with `lines` it may have lines and tabs."""
    return (_UNSAFE_BUT_LINES if lines else _UNSAFE).sub(_escaped, text)


def printable_json(text: str) -> str:
    """A JSON text that means the same, with unsafe characters escaped as JSON does it."""
    return _UNSAFE_BUT_LINES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def discreet(value: Any) -> str:
    """The repr of a struct of ours without what a log or a traceback must not show."""
    fields = (
        f"{name}={'…' if name in _PRIVATE and found is not None else repr(found)}"
        for name in value.__struct_fields__
        if (found := getattr(value, name)) is not None
    )
    return f"{type(value).__name__}({', '.join(fields)})"


def gist(error: str | None) -> str:
    """The one line of an error that says what went wrong; none where nothing is said.

    Of Python's tracebacks the type and the first line of its message: `ValueError: no such city`.
    """
    lines = [line.removeprefix("  | ") for line in _CUT.sub("", error or "").splitlines()]
    said = [line for line in lines if line.strip()]
    start = max((number for number, line in enumerate(said, 1) if line in _CHAINED), default=0)
    # Frames are indented, those of exception groups with a bar; messages come last.
    told = [line for line in said[start:] if not line[0].isspace() and line != _HEADER]
    return printable((told or said[-1:] or [""])[0].strip())


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
