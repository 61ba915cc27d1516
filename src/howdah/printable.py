"""Text as it may be shown: what could steer a terminal or forge a log line is escaped."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, line separators, marks that turn the direction of text, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNSAFE_BUT_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def printable(text: str, *, lines: bool = False) -> str:
    """The text with unsafe characters escaped; with `lines` it may have lines and tabs."""
    return (_UNSAFE_BUT_LINES if lines else _UNSAFE).sub(_escaped, text)


def last_line(text: str | None) -> str:
    """The last line that says something: of a traceback, the error itself."""
    lines = (text or "").strip().splitlines()
    return printable(lines[-1].strip()) if lines else ""


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
