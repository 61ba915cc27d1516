"""Brings the waiting jobs of other systems over: each is taken there and enqueued here."""

from howdah.importing.moving import import_jobs
from howdah.importing.plan import Plan
from howdah.importing.report import Flaw, Moved, Report
from howdah.importing.sources import Source, Waiting, pgqueuer, procrastinate

__all__ = [
    "Flaw",
    "Moved",
    "Plan",
    "Report",
    "Source",
    "Waiting",
    "import_jobs",
    "pgqueuer",
    "procrastinate",
]
