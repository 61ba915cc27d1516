"""Writes what happens to a worker as log lines, text or JSON; never a job's arguments."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from howdah import events
from howdah.durations import written
from howdah.events import Event
from howdah.outcome import Cancelled, Crashed, Failed, Released, Retrying, Snoozed, Succeeded
from howdah.printable import last_line, printable
from howdah.settings import Settings, without_password

if TYPE_CHECKING:
    from uuid import UUID

    from howdah.worker import Worker

log = logging.getLogger("howdah.worker")
MOST_NAMED = 8  # tasks in the banner
LOST_AGAIN = 5.0  # seconds in which the loss of the database is said once
BACK_FOR = 2.0  # seconds after its return in which other loops may still notice the loss
_MARKS = {
    Succeeded: "✓", Retrying: "✗", Failed: "✗", Crashed: "✗", Cancelled: "-", Snoozed: "…",
    Released: "<",
}  # fmt: skip


class Reporter:
    """Subscribes to an app's events: `app.events.subscribe(Reporter(worker, app.settings))`.

    `process` is the number of a parent's process, which says what it must, and its parent the rest;
    `with_args` adds the arguments of each job to its line.
    """

    def __init__(
        self,
        worker: Worker,
        settings: Settings,
        *,
        process: int | None = None,
        banner: bool = True,
        with_args: bool = False,
    ) -> None:
        self._worker, self._settings = worker, settings
        self._process, self._banner, self._with_args = process, banner, with_args
        self._each_job = logging.DEBUG if settings.env == "production" else logging.INFO
        self._is_away, self._lost_again = False, 0.0
        self._tellers: Mapping[type, Callable[[Any], None]] = {
            events.WorkerStarted: self._started,
            events.WorkerStopping: self._stopping,
            events.WorkerStopped: self._stopped,
            events.WorkerSwept: self._swept,
            events.AttemptFinished: self._finished,
            events.LeaseRefused: self._refused,
            events.TaskStuck: self._stuck,
            events.LoopBlocked: self._blocked,
            events.ProcessFailed: self._no_process,
            events.DatabaseLost: self._lost,
            events.DatabaseBack: self._back,
        }

    def __call__(self, event: Event) -> None:
        """Write what there is to say about the event."""
        tell = self._tellers.get(type(event))
        if tell is not None:
            tell(event)

    def _started(self, event: events.WorkerStarted) -> None:
        database = without_password(self._settings.database_url or "")
        slots, tasks, schema = self._worker.status()["slots"], event.tasks, self._settings.schema
        named = ", ".join([*tasks[:MOST_NAMED], *(["…"] if len(tasks) > MOST_NAMED else [])])
        which = f" · process {self._process}" if self._process else ""
        _say(
            f"howdah {version('howdah')} · worker {event.name}{which}",
            event="worker_started",
            worker=str(event.worker),
            database=database,
            schema=schema,
            queues=event.queues,
            slots=slots,
            tasks=tasks,
        )
        if not self._banner:
            return
        _say(f"  database {database} · schema {schema}", event="banner")
        _say(f"  queues   {', '.join(event.queues)} · slots {slots}", event="banner")
        _say(f"  tasks    {len(tasks)}: {named or 'none'}", event="banner")

    def _stopping(self, event: events.WorkerStopping) -> None:
        own = self._process is None or event.why in {"drain", "kill", "burst"}
        _stopping(event.why, event.running, event.within, quiet=not own)

    def _stopped(self, event: events.WorkerStopped) -> None:
        back = f"; handed back {_jobs(event.released)}" if event.released else ""
        quiet = self._process is not None and not event.released
        _say(f"stopped{back}", event="worker_stopped", released=event.released, quiet=quiet)

    def _swept(self, event: events.WorkerSwept) -> None:
        _say(
            "was silent for so long that its jobs were given to others; starts anew",
            logging.WARNING,
            event="worker_swept",
            worker=str(event.worker),
        )

    def _finished(self, event: events.AttemptFinished) -> None:
        job, outcome = event.job, event.outcome
        level = (
            logging.WARNING if isinstance(outcome, Retrying | Failed | Crashed) else self._each_job
        )
        if not log.isEnabledFor(level):
            return
        mark = _MARKS.get(type(outcome), "?")
        args = f"  {job.args}" if self._with_args else ""
        _say(
            f"{mark} {job.task} {written(event.took)}  {_short(job.id)}{args}{_told(event)}",
            level,
            event="attempt_finished",
            outcome=outcome.reason or outcome.kind,
            job_id=str(job.id),
            task=job.task,
            queue=job.queue,
            attempt=job.attempt,
            seconds=round(event.took, 6),
            error=last_line(outcome.error) or None,
            **({"args": job.args} if self._with_args else {}),
        )

    def _refused(self, event: events.LeaseRefused) -> None:
        _say(
            f"job {_short(event.job_id)} had been given to another worker; "
            "what came of it here is not recorded",
            logging.WARNING,
            event="lease_refused",
            job_id=str(event.job_id),
        )

    def _stuck(self, event: events.TaskStuck) -> None:
        _say(
            f"{event.job.task} {_short(event.job.id)} goes on although it was told to end; "
            "its slot was given to another",
            logging.WARNING,
            event="task_stuck",
            job_id=str(event.job.id),
            task=event.job.task,
        )

    def _blocked(self, event: events.LoopBlocked) -> None:
        task = event.job.task if event.job else "something"
        _say(
            f"{task} blocks the event loop for {written(event.seconds)} and goes on, at "
            f'{event.where}: declare it with def, or executor="process"',
            logging.WARNING,
            event="loop_blocked",
            task=event.job.task if event.job else None,
            job_id=str(event.job.id) if event.job else None,
            where=event.where,
            seconds=round(event.seconds, 3),
        )

    def _no_process(self, event: events.ProcessFailed) -> None:
        _say(
            f"a process for jobs could not be started ({last_line(event.error)}); "
            f"its jobs wait, trying again in {written(event.again_in)}",
            logging.ERROR,
            event="process_failed",
            error=event.error,
            again_in=round(event.again_in, 3),
        )

    def _lost(self, event: events.DatabaseLost) -> None:
        """Several loops notice the same loss, again and again: it is said once in a while."""
        now = time.monotonic()
        if now < self._lost_again:
            return
        self._is_away, self._lost_again = True, now + LOST_AGAIN
        why = last_line(str(event.error)) or type(event.error).__name__
        _say(
            f"the database is away ({why}); trying again",
            logging.WARNING,
            event="database_lost",
            loop=event.loop,
            error=why,
        )

    def _back(self, event: events.DatabaseBack) -> None:
        """The first loop that has it again says so; the others are about to."""
        if self._is_away:
            self._is_away, self._lost_again = False, time.monotonic() + BACK_FOR
            _say("the database is back", event="database_back", loop=event.loop)


def _stopping(why: str, running: int, within: float | None, *, quiet: bool = False) -> None:
    limit = "however long they take" if within is None else f"{written(within)} at most"
    waits = f"; waits for {_jobs(running)}, {limit}" if running else ""
    _say(
        f"stopping ({why}){waits}",
        event="worker_stopping",
        why=why,
        running=running,
        within=within,
        quiet=quiet,
    )


class ParentReporter:
    """Subscribes to the events of a parent of processes."""

    def __call__(self, event: Event) -> None:
        """Write what there is to say about the event."""
        if isinstance(event, events.ChildSilent):
            _say(
                f"process {event.number} (pid {event.pid}) has been silent for "
                f"{written(event.silent)}: killed, before its jobs are given to others",
                logging.WARNING,
                event="child_silent",
                number=event.number,
                pid=event.pid,
                silent=round(event.silent, 3),
            )
        elif isinstance(event, events.ChildDied):
            with_it = f" with {_jobs(len(event.running))}" if event.running else ""
            which = f"process {event.number}" + (f" (pid {event.pid})" if event.pid else "")
            then = f"; another starts {_soon(event.again_in)}" if event.replaced else ""
            _say(
                f"{which} {event.how}{with_it}{then}",
                logging.WARNING,
                event="child_died",
                number=event.number,
                pid=event.pid,
                how=event.how,
                running=[str(job_id) for job_id in event.running],
            )
        elif isinstance(event, events.ParentStopping):
            _stopping(event.why, event.running, event.within)
        elif isinstance(event, events.FilesChanged):
            more = f" and {len(event.paths) - 1} more" if len(event.paths) > 1 else ""
            _say(f"{event.paths[0]}{more} changed: starting anew", event="files_changed")


def _soon(length: float | None) -> str:
    if length is None:
        return "when a file changes"
    return f"in {written(length)}" if length else "now"


def write_logs(*, as_json: bool = False) -> None:
    """Send all logging to stderr, unless the program has set that up by itself already."""
    root = logging.getLogger()
    if root.handlers and not as_json:
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
            text += "\n" + printable(_traceback(record), lines=True)
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
            own["traceback"] = _traceback(record)
        return json.dumps({**told, **own}, default=str)


_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "quiet"}


def _say(text: str, level: int = logging.INFO, **facts: object) -> None:
    log.log(level, "%s", text, extra=facts)


def _told(event: events.AttemptFinished) -> str:
    """What came of an attempt that did not succeed, in a few words."""
    outcome = event.outcome
    again = f" · again in {written(outcome.retry_in)}" if outcome.retry_in is not None else ""
    if isinstance(outcome, Retrying) and event.job.attempt >= event.job.max_attempts:
        again = " · no attempt is left"
    error = last_line(outcome.error)
    return (f"  {error}" if error else "") + again


def _short(job_id: UUID) -> str:
    """The end of an id: its beginning is the time, alike for all jobs of a minute."""
    return f"…{str(job_id)[-12:]}"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info)).rstrip()
