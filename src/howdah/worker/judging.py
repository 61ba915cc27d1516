"""Judges what a task returned, or said by raising a word: gives the outcome of its attempt."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from howdah.arguments import encode_result
from howdah.errors import BadArguments, BadInput, TooLarge
from howdah.jobs import storable
from howdah.outcome import (
    Cancel,
    Cancelled,
    Crashed,
    Failed,
    Outcome,
    Snooze,
    Snoozed,
    Succeeded,
    Word,
)

if TYPE_CHECKING:
    from howdah.context import Context
    from howdah.worker.attempt import Attempt
    from howdah.workflow import Growth

PACKAGE = str(Path(__file__).parents[1]) + os.sep  # where our own frames come from


def judged(attempt: Attempt, context: Context | None, returned: Any) -> Outcome:
    """What came of an attempt whose task returned this; `context` None: nobody asked for one."""
    if attempt.stopping == "timeout":  # it swallowed the cancelling, and came too late
        return attempt.stopped()
    if isinstance(returned, Word):
        return judged_word(attempt, context, returned)
    grown = None if context is None else context.workflow
    if grown:
        return _grown(attempt, context, returned, grown)
    if attempt.job.serial_key is not None:
        return _with_cursor(attempt, context, returned, Succeeded)
    if returned is None:
        return attempt.end(Succeeded)
    return _with_result(attempt, returned, Succeeded)


def judged_word(attempt: Attempt, context: Context | None, word: Word) -> Outcome:
    """What came of an attempt whose task said Snooze, Cancel or Fail, returned or raised."""
    if isinstance(word, Snooze):
        return attempt.end(Snoozed, reason="snoozed", retry_in=word.delay)
    said = storable(word.reason)
    if isinstance(word, Cancel):
        return attempt.end(Cancelled, error=said, reason="cancelled")
    facts = {"error": said, "reason": "error"}
    if word.save_cursor:
        return _with_cursor(attempt, context, word.result, Failed, **facts)
    return _with_result(attempt, word.result, Failed, **facts)


def _grown(attempt: Attempt, context: Context | None, returned: Any, steps: Growth) -> Outcome:
    """A success that adds steps to the workflow."""
    try:
        added = steps.json()
    except BadInput as error:
        return attempt.bad_result(error.message)
    return _with_cursor(attempt, context, returned, Succeeded, steps=added)


def _with_cursor(
    attempt: Attempt, context: Context | None, result: Any, kind: type[Outcome], **facts: Any
) -> Outcome:
    """With what is left for the next job of the serial key, if that has changed."""
    left = None if context is None else context.cursor
    if left is None or left == object_of(attempt.job.cursor):
        return _with_result(attempt, result, kind, **facts)
    if not isinstance(left, dict):
        return attempt.bad_result(f"a cursor must be a dict, got {type(left).__name__}")
    outcome = _with_result(attempt, left, kind, **facts)
    if outcome.kind != kind.kind:
        return outcome
    return _with_result(attempt, result, kind, cursor=outcome.result, **facts)


def _with_result(attempt: Attempt, result: Any, kind: type[Outcome], **facts: Any) -> Outcome:
    """An outcome of this kind, or what came of a result that cannot be stored."""
    assert attempt.task is not None
    try:
        return attempt.end(kind, result=encode_result(attempt.task.name, result), **facts)
    except (BadArguments, TooLarge) as error:
        problem = getattr(error, "problem", error.message)
    except BaseException as error:  # what a result's own way to become JSON may raise
        if (ended := out_of_memory(attempt, error)) is not None:
            return ended
        problem = tasks_traceback(error)
    return attempt.bad_result(problem)


def out_of_memory(attempt: Attempt, error: BaseException) -> Outcome | None:
    """What came of an attempt whose process is at its limit; None if that is not what happened."""
    limit = attempt.means.memory
    if limit is None:
        return None
    if isinstance(error, BaseExceptionGroup):
        is_memory = error.subgroup(MemoryError) is not None
    else:
        is_memory = isinstance(error, MemoryError)
    if not is_memory:
        return None
    said = f"out of memory: the limit of its process is {limit} MiB"
    return attempt.end(Crashed, error=said, reason="crashed")


def object_of(text: str | None) -> Mapping[str, Any]:
    """A JSON object; an empty one for no text, and for what cannot be read."""
    try:
        return msgspec.json.decode(text) if text else {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}


def tasks_traceback(error: BaseException) -> str:
    """The traceback from the task's own frames on; whatever the error's __str__ does."""
    try:
        frames = traceback.extract_tb(error.__traceback__)
        ours = sum(1 for frame in frames[:6] if frame.filename.startswith(PACKAGE))
        tb = error.__traceback__
        for _ in range(ours):
            tb = tb.tb_next if tb is not None else None
        return "".join(traceback.format_exception(type(error), error, tb)).rstrip()
    except Exception:
        return f"{type(error).__module__}.{type(error).__qualname__} (its message cannot be read)"
