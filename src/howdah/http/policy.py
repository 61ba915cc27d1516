"""What a status means for the job: success, failure, or try again, and when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from howdah.http.request import Request

WAITS = frozenset({408, 425, 429})  # below 500, and yet it may be otherwise in a while


class Verdict(Enum):
    """What is to become of the job."""

    SUCCEEDED = "succeeded"
    AGAIN = "again"
    FAILED = "failed"


def verdict(request: Request, status: int) -> Verdict:
    """By the job's own lists. What fails is tried again only where it may be, and could help."""
    if matches(request.retry_on, status):
        return Verdict.AGAIN
    if not matches(request.fail_on, status):
        return Verdict.SUCCEEDED
    could_help = status >= 500 or status in WAITS
    return Verdict.AGAIN if request.may_repeat and could_help else Verdict.FAILED


def matches(statuses: Sequence[int], status: int) -> bool:
    """Whether the status is one of these; 1 to 5 stand for a whole hundred."""
    return status in statuses or status // 100 in statuses


def retry_after(value: str | None, now: datetime, longest: float) -> float | None:
    """Seconds that a Retry-After header asks for, at most `longest`; None: it asks for nothing."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), longest)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), longest)
