"""What can be asked about limits: how many jobs of a key may run at once, in the whole fleet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from howdah.call import Call, function, nothing, rows_of
from howdah.durations import Duration, seconds, span


class Limit(msgspec.Struct, frozen=True):
    """A limit that was put (`is_own`), or a key that one speaks for.

    `most` may run at once, `rate` start in any span of `per`, `burst` of them together; None: no
    end. `taken` counts the jobs that hold a place.
    """

    key: str
    most: int | None
    rate: int | None
    per: timedelta | None
    burst: int | None
    taken: int
    is_own: bool


def put(key: str, n: int | None) -> Call[None]:
    """At most `n` jobs of this key at once; None takes the limit away.

    Keys are those that jobs name (`limit_keys`), `queue:NAME` and `task:NAME`, which no job need
    name, or a prefix with a trailing `*`, which speaks for all keys that begin so.
    """
    return function("put_limit", "put_limit", nothing, key=("text", key), n=("int", n))


def put_rate(key: str, n: int | None, per: Duration = 1, *, burst: int | None = None) -> Call[None]:
    """At most `n` jobs of this key start in any span of `per`; None takes the rate away.

    At most `burst` of them at once, by default a quarter. Keys are those of `put`.
    """
    return function(
        "put_rate",
        "put_rate",
        nothing,
        key=("text", key),
        n=("int", n),
        per=("interval", span(seconds(per))),
        burst=("int", burst),
    )


def list() -> Call[Sequence[Limit]]:  # noqa: A001 - limits.list reads as it should
    """All limits, and the keys that have jobs, by name."""
    text = "select key, most, rate, per, burst, taken, is_own from {schema}.limits order by key"
    return Call(text, (), rows_of(Limit))
