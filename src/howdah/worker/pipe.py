"""What a worker and a process of its pool tell each other: JSON, a line each, over a socket."""

from __future__ import annotations

from typing import Any

import msgspec

from howdah.jobs import storable
from howdah.outcome import (
    Cancelled,
    Crashed,
    Failed,
    Outcome,
    Released,
    Retrying,
    Snoozed,
    Succeeded,
)
from howdah.rows import Claimed, Note
from howdah.settings import Settings

LONGEST_ANSWER = 64 * 1024 * 1024  # bytes; a result, a cursor, and steps that a workflow is to grow
LONGEST_TASK = 1024 * 1024 * 1024  # bytes; a number of few bytes in the store may be a long text
_KINDS: dict[str, type[Outcome]] = {
    kind.kind: kind for kind in (Succeeded, Retrying, Failed, Cancelled, Snoozed, Released, Crashed)
}


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="say"):
    """One line."""


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """To a new process: which app it is to load. Nothing of it is in argv.

    Attributes:
        source: where the app is: a `howdah.source.Source`, as JSON.
        settings: as the worker has resolved them.
        path: where Python looks for modules.
        logs: the format of log lines, as the worker's; None: the app sees to its logging.
    """

    source: msgspec.Raw
    settings: Settings
    path: list[str]
    logs: str | None = None


class Perform(Message, frozen=True, kw_only=True, tag="perform"):
    """To a process: attempt this job."""

    job: Claimed


class Interrupt(Message, frozen=True, kw_only=True, tag="interrupt"):
    """To a process: end the job that it runs. A SIGTERM without this word is nobody's order."""


class Extended(Message, frozen=True, kw_only=True, tag="extended"):
    """To a process: the answer to the n-th Extend; `error` None: the job has more time."""

    n: int
    error: str | None = None
    is_lost: bool = False


class Ready(Message, frozen=True, kw_only=True, tag="ready"):
    """From a process: the app is loaded, its lifespan open; or why it is not."""

    error: str | None = None


class Extend(Message, frozen=True, kw_only=True, tag="extend"):
    """From a process: its job asks for so many seconds more."""

    n: int
    duration: float


class Noted(Message, frozen=True, kw_only=True, tag="noted"):
    """From a process: how far its job is."""

    note: Note


class Done(Message, frozen=True, kw_only=True, tag="done"):
    """From a process: what came of its job.

    Attributes:
        kind: of the outcome; "released" when it was interrupted.
        is_stored: whether it was stored already, with the task's own transaction.
        was_blocking: whether it let nothing beside it run when it was interrupted.
        is_worn: whether the process is to be replaced: by its jobs or its memory.
    """

    kind: str
    result: str | None = None
    error: str | None = None
    reason: str | None = None
    retry_in: float | None = None
    cursor: str | None = None
    steps: str | None = None
    is_stored: bool = False
    was_blocking: bool = False
    is_worn: bool = False

    @property
    def type(self) -> type[Outcome]:
        """The class of the outcome."""
        return _KINDS[self.kind]

    @property
    def facts(self) -> dict[str, Any]:
        """What the outcome says beside whose it is: that the worker knows better."""
        return {
            "result": self.result,
            "error": None if self.error is None else storable(self.error),
            "reason": self.reason,
            "retry_in": self.retry_in,
            "cursor": self.cursor,
            "steps": self.steps,
        }


def done(outcome: Outcome, *, is_stored: bool, was_blocking: bool, is_worn: bool) -> Done:
    """The message for an outcome."""
    return Done(
        kind=outcome.kind,
        result=outcome.result,
        error=outcome.error,
        reason=outcome.reason,
        retry_in=outcome.retry_in,
        cursor=outcome.cursor,
        steps=outcome.steps,
        is_stored=is_stored,
        was_blocking=was_blocking,
        is_worn=is_worn,
    )


_encoder = msgspec.json.Encoder()
_to_process = msgspec.json.Decoder(Hello | Perform | Interrupt | Extended)
_from_process = msgspec.json.Decoder(Ready | Extend | Noted | Done)


def line(message: Message) -> bytes:
    """The message as it travels."""
    return _encoder.encode(message) + b"\n"


def read_by_process(text: bytes) -> Hello | Perform | Interrupt | Extended:
    """What the worker said."""
    said: Hello | Perform | Interrupt | Extended = _to_process.decode(text)
    return said


def read_by_worker(text: bytes) -> Ready | Extend | Noted | Done:
    """What a process said; raises ValueError for what is no message."""
    said: Ready | Extend | Noted | Done = _from_process.decode(text)
    if isinstance(said, Done) and said.kind not in _KINDS:
        raise ValueError(f"no outcome {said.kind!r}")
    return said
