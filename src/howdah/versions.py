"""Versions of tasks, and ranges of them, as jobs name them: mail@2.1, mail@>=2,<3, mail for any."""

from __future__ import annotations

import re

from howdah.errors import BadInput

_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}")
_PART = re.compile(rf"(>=|<=|>|<|!=)({_VERSION.pattern})")
ANY = "*"


def check_version(version: str) -> str:
    """The version, if it is one: one to four numbers with dots; raises BadInput."""
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise BadInput(f"{version!r} is no version", hint='Write one to four numbers: "2.1".')
    return version


def named(name: str, wanted: str) -> str:
    """What a job's task is called that wants this version, or one of this range; raises BadInput.

    `*` is any version, and no version at all.
    """
    if wanted == ANY:
        return name
    if not isinstance(wanted, str):
        raise BadInput(f"{wanted!r} is no version", hint=_HINT)
    text = re.sub(r"\s+", "", wanted)
    if text.endswith(".*") and _VERSION.fullmatch(text[:-2]):
        *head, last = text[:-2].split(".")
        text = f">={text[:-2]},<{'.'.join([*head, str(int(last) + 1)])}"
    if not _VERSION.fullmatch(text) and not all(map(_PART.fullmatch, text.split(","))):
        raise BadInput(f"{wanted!r} is no version and no range of versions", hint=_HINT)
    return f"{name}@{text}"


_HINT = 'Write "2.1", ">=2,<3" or "2.*"; "*" is any.'


def key(version: str) -> tuple[int, ...]:
    """By which versions are ordered: 2.1 and 2.1.0 are the same."""
    numbers = [int(part) for part in version.split(".")]
    return (*numbers, *[0] * (4 - len(numbers)))


def fits(version: str, wanted: str) -> bool:
    """Whether a version lies in a range, as it is stored."""
    for part in wanted.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            return False
        mine, other = key(version), key(found[2])
        if not {">=": mine >= other, "<=": mine <= other, ">": mine > other, "<": mine < other,
                "!=": mine != other}[found[1]]:  # fmt: skip
            return False
    return True
