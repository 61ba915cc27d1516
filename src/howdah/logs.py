"""Log lines: how they are written, as text for people or as JSON, and where they go."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from datetime import UTC, datetime

from howdah.printable import printable

log = logging.getLogger("howdah.worker")


def say(text: str, level: int = logging.INFO, **facts: object) -> None:
    """A line of the worker's; the facts are fields of its record."""
    log.log(level, "%s", text, extra=facts)


def write_logs(*, as_json: bool = False) -> None:
    """Send all logging to stderr; as text only if the program has not set that up by itself."""
    root = logging.getLogger()
    if log.hasHandlers() and not as_json:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else Lines())
    if as_json:
        handler.addFilter(lambda record: getattr(record, "event", None) != "banner")
    else:  # what a process of several need not say to people
        handler.addFilter(lambda record: not getattr(record, "quiet", False))
    root.handlers[:] = [handler]
    if root.level in {logging.NOTSET, logging.WARNING}:
        root.setLevel(logging.INFO)


class Lines(logging.Formatter):
    """`12:03:04 ✓ send_email 12ms`; nothing in a message can start another line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and below it the traceback, where there is one."""
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        is_job = getattr(record, "event", None) == "attempt_finished"
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{clock} {'' if is_job else level}{printable(record.getMessage())}"
        if record.exc_info:
            text += "\n" + printable(traceback_of(record), lines=True)
        return text


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, in one line."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        own = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            own["traceback"] = traceback_of(record)
        return json.dumps({**told, **own}, default=str)


_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "quiet"}


def chosen_format() -> str | None:
    """ "text" or "json", as `write_logs` was told; None where the program logs in its own way."""
    kinds = {type(handler.formatter) for handler in logging.getLogger().handlers}
    return "json" if JsonLines in kinds else "text" if Lines in kinds else None


def traceback_of(record: logging.LogRecord) -> str:
    """Its traceback, or nothing."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info)).rstrip()
