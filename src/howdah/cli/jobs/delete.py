"""`howdah jobs delete`: removes jobs and their history."""

from howdah import jobs
from howdah.cli.jobs.changing import Verb, verb_command

command = verb_command(
    Verb(
        name="delete",
        past="deleted",
        call=jobs.delete,
        states=("scheduled", "blocked", "ready", "succeeded", "failed", "cancelled"),
        refusal="cancel it first",
    ),
    "Remove jobs that do not run, and what history has of them. Filters find all but running ones.",
)
