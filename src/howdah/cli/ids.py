"""Ids as people type them: whole ones, or their last characters."""

from __future__ import annotations

import re
from uuid import UUID

from howdah.errors import BadInput

_END = re.compile(r"[0-9a-f-]{6,36}")


def whole_or_end(text: str) -> UUID | str:
    """A whole id, or the end of one in small letters; BadInput for what is neither."""
    try:
        return UUID(text)
    except ValueError:
        end = text.lstrip("…").lower()
    if not _END.fullmatch(end):
        raise BadInput(
            f"{text!r} is no id", hint="Give a whole id, or its last 6 or more characters."
        )
    return end
