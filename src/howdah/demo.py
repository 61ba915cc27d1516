"""The demo: one job per file of a directory, each hashes its file and counts its lines and bytes.

The app is like any other: `howdah worker howdah.demo:app -q demo` runs what an interrupted demo
has left.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence, Set
from typing import Any
from uuid import UUID

import msgspec

from howdah.app import App
from howdah.call import Call, Row, first_of
from howdah.retry import Retry

QUEUE = "demo"
SKIPPED = {"__pycache__", ".howdah"}  # .howdah: the demo's own database, which changes all the time
INSTALLED = {"site-packages", "dist-packages"}  # beside the standard library, and none of it
CHUNK = 1 << 20  # bytes

app = App()


class Count(msgspec.Struct, frozen=True):
    """What is known of one file."""

    bytes: int
    lines: int  # newline characters, as wc -l counts them
    sha256: str


@app.task(queue=QUEUE, retry=Retry(max_attempts=2, first=1, jitter=0), timeout="10m")
def count_file(path: str, raw: str | None = None) -> Count:
    """Read one file. `raw` is its name's bytes in Base64, where they are not UTF-8."""
    name = os.fsencode(path) if raw is None else base64.b64decode(raw)
    if stat.S_ISDIR(os.stat(name).st_mode):
        os.listdir(name)  # says why it could not be looked into
        raise IsADirectoryError(f"{path} could not be listed before")
    digest, size, lines = hashlib.sha256(), 0, 0
    with open(name, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
    return Count(size, lines, digest.hexdigest())


def find_files(root: bytes, skipped: Set[str] = SKIPPED) -> Iterator[bytes]:
    """Regular files below a directory, no links; and the directories that cannot be looked into."""
    unreadable: list[bytes] = []

    def note(error: OSError) -> None:
        unreadable.append(error.filename)

    for folder, folders, names in os.walk(root, onerror=note):
        folders[:] = sorted(name for name in folders if os.fsdecode(name) not in skipped)
        for name in sorted(names):
            path = os.path.join(folder, name)
            if _may_be_regular(path):
                yield path
    yield from unreadable


def _may_be_regular(path: bytes) -> bool:
    """Whether it is a regular file; what cannot be looked at counts too, so that it is reported."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def arguments(path: bytes) -> dict[str, str]:
    """How a path travels as JSON: readable, and with its very bytes where they are not UTF-8."""
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        raw = base64.b64encode(path).decode("ascii")
        return {"path": path.decode("utf-8", "backslashreplace"), "raw": raw}


class Totals(msgspec.Struct, frozen=True):
    """What became of one run's jobs. `seconds` is from the first start to the last end."""

    succeeded: int
    failed: int
    bytes: int
    lines: int
    seconds: float


class Failure(msgspec.Struct, frozen=True):
    """A job that failed for good."""

    id: UUID
    path: str
    error: str
    attempts: int


def totals(tag: str) -> Call[Totals | None]:
    """The figures of one run, from the store."""
    text = (
        "select count(*) filter (where state = 'succeeded'), "
        "count(*) filter (where state = 'failed'), "
        "coalesce(sum(cast(result ->> 'bytes' as bigint)), 0)::bigint, "
        "coalesce(sum(cast(result ->> 'lines' as bigint)), 0)::bigint, "
        "coalesce(extract(epoch from max(finished_at) - min(started_at)), 0)::float8 "
        "from {schema}.jobs where state in ('succeeded', 'failed') and queue = cast($1 as text) "
        "and cast($2 as text) = any (tags)"
    )
    return Call(text, (QUEUE, tag), first_of(Totals))


def failures(tag: str, limit: int) -> Call[list[Failure]]:
    """The jobs of one run that failed."""
    text = (
        "select id, args ->> 'path', coalesce(error, ''), attempt from {schema}.failed "
        "where queue = cast($1 as text) and cast($2 as text) = any (tags) "
        "order by id limit cast($3 as int)"
    )
    return Call(text, (QUEUE, tag, limit), _failures)


def is_unfinished(tag: str) -> Call[bool]:
    """Whether some of one run's jobs have not ended."""
    one = (
        "exists (select from {{schema}}.{} where queue = '{}' and tags @> array[cast(${} as text)])"
    )
    live = ("ready", "scheduled", "running", "expired")
    text = f"select {' or '.join(one.format(view, QUEUE, n) for n, view in enumerate(live, 1))}"
    return Call(text, (tag,) * len(live), _truth)


def _failures(rows: Sequence[Row]) -> list[Failure]:
    return [Failure(*row) for row in rows]


def _truth(rows: Sequence[Row]) -> Any:
    return bool(rows[0][0])
