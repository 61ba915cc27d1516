"""Writes what happens to a parent's processes as log lines."""

from __future__ import annotations

import logging

from howdah import events
from howdah.durations import written
from howdah.events import Event
from howdah.logs import say
from howdah.reporter import jobs_in_words, say_stopping


class ParentReporter:
    """Subscribes to the events of a parent of processes."""

    def __call__(self, event: Event) -> None:
        """Write what there is to say about the event."""
        if isinstance(event, events.ChildSilent):
            say(
                f"process {event.number} (pid {event.pid}) has been silent for "
                f"{written(event.silent)}: killed, before its jobs are given to others",
                logging.WARNING,
                event="child_silent",
                number=event.number,
                pid=event.pid,
                silent=round(event.silent, 3),
            )
        elif isinstance(event, events.ChildDied):
            with_it = f" with {jobs_in_words(len(event.running))}" if event.running else ""
            which = f"process {event.number}" + (f" (pid {event.pid})" if event.pid else "")
            then = f"; another starts {_soon(event.again_in)}" if event.replaced else ""
            say(
                f"{which} {event.how}{with_it}{then}",
                logging.INFO if event.fenced else logging.WARNING,
                event="child_died",
                number=event.number,
                pid=event.pid,
                how=event.how,
                running=[str(job_id) for job_id in event.running],
            )
        elif isinstance(event, events.ParentStopping):
            say_stopping(event.why, event.running, event.within)
        elif isinstance(event, events.ParentStopped):
            say("stopped", event="worker_stopped")
        elif isinstance(event, events.FilesChanged):
            more = f" and {len(event.paths) - 1} more" if len(event.paths) > 1 else ""
            say(f"{event.paths[0]}{more} changed: starting anew", event="files_changed")


def _soon(length: float | None) -> str:
    if length is None:
        return "when a file changes"
    return f"in {written(length)}" if length else "now"
