"""Writes what happens to a worker as log lines, text or JSON; never a job's arguments."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from howdah import events
from howdah.durations import written
from howdah.errors import Denied, SchemaMismatch
from howdah.events import Event
from howdah.logs import log, say
from howdah.outcome import (
    Cancelled,
    Crashed,
    Failed,
    Hung,
    Released,
    Retrying,
    Snoozed,
    Succeeded,
)
from howdah.printable import gist
from howdah.refusals import in_words
from howdah.settings import Settings, without_password
from howdah.worker.starting import LOOP

if TYPE_CHECKING:
    from uuid import UUID


MOST_NAMED = 8  # tasks in the banner
LOST_AGAIN = 5.0  # seconds in which the loss of the database is said once
BACK_FOR = 2.0  # seconds after its return in which other loops may still notice the loss
_MARKS = {
    Succeeded: "✓", Retrying: "✗", Hung: "✗", Failed: "✗", Crashed: "✗", Cancelled: "-",
    Snoozed: "…", Released: "<",
}  # fmt: skip
_BAD = (Retrying, Failed, Crashed)


class Reporter:
    """Subscribes to an app's events: `app.events.subscribe(Reporter(app.settings))`.

    `process` is the number of a parent's process, which says what it must, and its parent the rest;
    `with_args` adds the arguments of each job to its line.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        process: int | None = None,
        banner: bool = True,
        with_args: bool = False,
    ) -> None:
        self._settings = settings
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
            events.ScheduleFailed: self._no_tick,
            events.Declarations: self._declarations,
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
        slots, tasks, schema = event.slots, event.tasks, self._settings.schema
        named = ", ".join([*tasks[:MOST_NAMED], *(["…"] if len(tasks) > MOST_NAMED else [])])
        which = f" · process {self._process}" if self._process else ""
        say(
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
        say(f"  database {database} · schema {schema}", event="banner")
        say(f"  queues   {', '.join(event.queues)} · slots {slots}", event="banner")
        say(f"  tasks    {len(tasks)}: {named or 'none'}", event="banner")

    def _stopping(self, event: events.WorkerStopping) -> None:
        own = self._process is None or event.why in {"drain", "kill", "burst"}
        say_stopping(event.why, event.running, event.within, quiet=not own)

    def _stopped(self, event: events.WorkerStopped) -> None:
        back = f"handed back {jobs_in_words(event.released)}" if event.released else ""
        said = back if self._process is not None and back else f"stopped{back and '; '}{back}"
        quiet = self._process is not None and not back  # its parent says so
        say(said, event="worker_stopped", released=event.released, quiet=quiet)

    def _swept(self, event: events.WorkerSwept) -> None:
        say(
            "was silent for so long that its jobs were given to others; starts anew",
            logging.WARNING,
            event="worker_swept",
            worker=str(event.worker),
        )

    def _finished(self, event: events.AttemptFinished) -> None:
        job, outcome = event.job, event.outcome
        level = logging.WARNING if isinstance(outcome, _BAD) else self._each_job
        if not log.isEnabledFor(level):
            return
        mark = _MARKS[type(outcome)]
        args = f"  {job.args}" if self._with_args else ""
        say(
            f"{mark} {job.task} {written(event.took)}  {_short(job.id)}{args}{_told(event)}",
            level,
            event="attempt_finished",
            outcome=outcome.reason or outcome.kind,
            job_id=str(job.id),
            task=job.task,
            queue=job.queue,
            attempt=job.attempt,
            seconds=round(event.took, 6),
            error=gist(outcome.error) or None,
            **({"arguments": job.args} if self._with_args else {}),  # args is a record's own
        )

    def _refused(self, event: events.LeaseRefused) -> None:
        say(
            f"job {_short(event.job_id)} had been given to another worker; "
            "what came of it here is not recorded",
            logging.WARNING,
            event="lease_refused",
            job_id=str(event.job_id),
        )

    def _stuck(self, event: events.TaskStuck) -> None:
        say(
            f"{event.job.task} {_short(event.job.id)} goes on although it was told to end; "
            "its slot was given to another",
            logging.WARNING,
            event="task_stuck",
            job_id=str(event.job.id),
            task=event.job.task,
        )

    def _blocked(self, event: events.LoopBlocked) -> None:
        task = event.job.task if event.job else "something"
        say(
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
        say(
            f"a process for jobs could not be started ({gist(event.error)}); "
            f"its jobs wait, trying again in {written(event.again_in)}",
            logging.ERROR,
            event="process_failed",
            error=event.error,
            again_in=round(event.again_in, 3),
        )

    def _no_tick(self, event: events.ScheduleFailed) -> None:
        say(
            f"schedule {event.schedule} cannot be fired ({gist(event.error)}); "
            "it is tried again in a minute",
            logging.ERROR,
            event="schedule_failed",
            schedule=event.schedule,
            error=event.error,
        )

    def _declarations(self, event: events.Declarations) -> None:
        for name, outcome in event.changes:
            level, sentence = _DECLARATIONS[outcome]
            removed = f"to remove it: {_REMOVAL[event.kind].format(name)}"
            said = sentence.format(f"{event.kind} {name}", removed)
            say(said, level, event=f"{event.kind}_declared", declared=name, outcome=outcome)

    def _lost(self, event: events.DatabaseLost) -> None:
        """Several loops notice the same loss, again and again: it is said once in a while."""
        now = time.monotonic()
        if event.loop == LOOP:  # the start says so by itself, with a reporter or without
            self._is_away = True
            return
        if now < self._lost_again:
            return
        self._is_away, self._lost_again = True, now + LOST_AGAIN
        what, why, hint = "is away", in_words(event.error), ""
        if isinstance(event.error, Denied | SchemaMismatch):  # somebody has to do something
            what, hint = "refuses", f". {event.error.hint}" if event.error.hint else ""
        say(
            f"the database {what} ({why}); trying again{hint}",
            logging.WARNING,
            event="database_lost",
            loop=event.loop,
            error=why,
        )

    def _back(self, event: events.DatabaseBack) -> None:
        """The first loop that has it again says so; the others are about to."""
        if self._is_away:
            self._is_away, self._lost_again = False, time.monotonic() + BACK_FOR
            say("the database is back", event="database_back", loop=event.loop)


_REMOVAL = {
    "schedule": "howdah schedules delete {0}",
    "listener": "select howdah.delete_listener('{0}')",
}
_DECLARATIONS = {
    "new": (logging.INFO, "{0} is new"),
    "changed": (logging.INFO, "{0} has changed"),
    "kept": (logging.WARNING, "{0} is the database's, not the code's; {1}"),
    "vanished": (logging.WARNING, "{0} is declared no more, and goes on; {1}"),
}


def say_stopping(why: str, running: int, within: float | None, *, quiet: bool = False) -> None:
    """A line that says what is waited for, and for how many seconds; None: for ever."""
    limit = "however long they take" if within is None else f"{written(within)} at most"
    waits = f"; waits for {jobs_in_words(running)}, {limit}" if running else ""
    say(
        f"stopping ({why}){waits}",
        event="worker_stopping",
        why=why,
        running=running,
        within=within,
        quiet=quiet,
    )


def _told(event: events.AttemptFinished) -> str:
    """What came of an attempt that did not succeed, in a few words."""
    outcome = event.outcome
    again = f" · again in {written(outcome.retry_in)}" if outcome.retry_in is not None else ""
    if isinstance(outcome, Retrying) and event.job.attempt >= event.job.max_attempts:
        again = " · no attempt is left"
    elif isinstance(outcome, Retrying) and event.job.delivery == "at_most_once":
        again = " · not again: at most once"
    error = gist(outcome.error)
    more = "\n" in (outcome.error or "").strip()
    where = f" · traceback: howdah jobs show {_end(event.job.id)}" if more else ""
    return (f"  {error}" if error else "") + again + where


def _short(job_id: UUID) -> str:
    """The end of an id: its beginning is the time, alike for all jobs of a minute."""
    return f"…{_end(job_id)}"


def _end(job_id: UUID) -> str:
    return str(job_id)[-12:]


def jobs_in_words(count: int) -> str:
    """1 job, 2 jobs."""
    return "1 job" if count == 1 else f"{count} jobs"
