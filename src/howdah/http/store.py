"""What can be asked of the store about URL jobs."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec

from howdah.answer import Answer
from howdah.call import Call, first_of, function, one_bool, rows_of
from howdah.http.gate import Target


class Ended(msgspec.Struct, frozen=True):
    """A URL job as it stands; `answer` is None where none is stored."""

    state: str
    error: str | None
    answer: Answer | None


def targets() -> Call[list[Target]]:
    """What an operator has allowed."""
    return function("http_targets", "scheme, host, port, path", rows_of(Target))


def allow(url: str) -> Call[bool]:
    """Let URL jobs reach an origin, or the paths below one; False if they may already."""
    return function("http_allow", "http_allow", one_bool, url=("text", url))


def disallow(url: str) -> Call[bool]:
    """Take that back; False if it was not allowed by this very URL."""
    return function("http_disallow", "http_disallow", one_bool, url=("text", url))


def answer(job_id: UUID) -> Call[Ended | None]:
    """What became of a URL job; None: no such job."""
    columns = "state, error, status, url, headers::text, body, duration, attempts"
    return function("http_answer", columns, first_of(_ended), id=("uuid", job_id))


def _ended(  # noqa: PLR0917 - the columns of a row
    state: str,
    error: str | None,
    status: int | None,
    url: str,
    headers: str,
    body: bytes,
    duration: timedelta,
    attempts: int,
) -> Ended:
    if status is None:
        return Ended(state, error, None)
    return Ended(
        state,
        error,
        Answer(
            status=status,
            headers=msgspec.json.decode(headers, type=tuple[tuple[str, str], ...]),
            body=bytes(body),
            duration=duration.total_seconds(),
            attempts=attempts,
            url=url,
        ),
    )
