"""What came of an attempt, as values; and the words by which a task says "later" or "never"."""

from __future__ import annotations

from traceback import format_exception_only
from typing import Any, ClassVar
from uuid import UUID

import msgspec

from howdah.answer import Answer
from howdah.durations import Duration, within_ten_years
from howdah.printable import discreet


class Json(str):
    """JSON as text: stored as what it says, not as the text that it is."""

    __slots__ = ()


def json_text(value: object) -> str | None:
    """JSON as text; what is Json already stays as it is, None is no JSON at all."""
    if isinstance(value, Json):
        return value
    return None if value is None else msgspec.json.encode(value).decode()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt's end. `kind` is what the store is to do, `reason` what attempts will say."""

    kind: ClassVar[str]
    id: UUID
    lease: UUID
    result: str | None = None  # JSON
    error: str | None = None
    reason: str | None = None
    retry_in: float | None = None  # seconds
    answer: Answer | None = None  # of a server, to a URL job
    cursor: str | None = None  # JSON: what it leaves for the next job of its serial key
    steps: str | None = None  # JSON: what it adds to its workflow
    hooks: int | None = None  # what hangs on its job: others may wait for that

    def __repr__(self) -> str:
        return discreet(self)


class Succeeded(Outcome, frozen=True, kw_only=True):
    """The task returned; `result` is JSON, or None."""

    kind: ClassVar[str] = "succeeded"


class Retrying(Outcome, frozen=True, kw_only=True):
    """The attempt failed and the job may be tried again, as far as its attempts go."""

    kind: ClassVar[str] = "retry"


class Hung(Retrying, frozen=True, kw_only=True):
    """Its time was over and it had to be killed: an attempt is charged, and a crash counted too."""

    kind: ClassVar[str] = "hung"


class Failed(Outcome, frozen=True, kw_only=True):
    """The job failed for good, whatever attempts are left."""

    kind: ClassVar[str] = "failed"


class Cancelled(Outcome, frozen=True, kw_only=True):
    """The job was stopped, by request or by its own word."""

    kind: ClassVar[str] = "cancelled"


class Snoozed(Outcome, frozen=True, kw_only=True):
    """The task asked for later; no attempt is charged."""

    kind: ClassVar[str] = "snoozed"


class Released(Outcome, frozen=True, kw_only=True):
    """Given back unfinished, to the front; no attempt is charged."""

    kind: ClassVar[str] = "released"


class Crashed(Outcome, frozen=True, kw_only=True):
    """The process that ran it died of it: no attempt is charged, but a crash is counted."""

    kind: ClassVar[str] = "crashed"


class Snooze(Exception):
    """Return or raise it in a task: run the job again after so long, no attempt charged.

    Raises BadInput beyond ten years.
    """

    def __init__(self, delay: Duration) -> None:
        super().__init__(delay)
        self.delay = within_ten_years("Snooze", delay)


class Cancel(Exception):
    """Return or raise it in a task: this job is to be cancelled, for this reason."""

    def __init__(self, reason: str | BaseException = "cancelled by its task") -> None:
        super().__init__(reason)
        self.reason = _said(reason)


class Fail(Exception):
    """Return or raise it in a task: this job has failed for good, whatever attempts are left.

    The reason is text, or an exception that says it. `result` is stored with it as JSON, for
    whoever is to know more.
    `save_cursor` hands the cursor on all the same to the next job of the serial key.
    """

    def __init__(
        self, reason: str | BaseException, result: Any = None, *, save_cursor: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.result, self.save_cursor = _said(reason), result, save_cursor


Word = Snooze | Cancel | Fail


def _said(reason: object) -> str:
    """The reason as text; an exception's as Python tells it, in one line."""
    if isinstance(reason, BaseException):
        return "".join(format_exception_only(reason)).strip()
    return str(reason)
