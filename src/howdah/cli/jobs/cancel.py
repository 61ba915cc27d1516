"""`howdah jobs cancel`: cancels jobs."""

from howdah import jobs
from howdah.cli.jobs.changing import Verb, verb_command

command = verb_command(
    Verb(
        name="cancel",
        past="cancelled",
        call=jobs.cancel,
        states=("scheduled", "blocked", "ready", "running"),
        refusal="it has finished, or is being cancelled already",
    ),
    "Cancel jobs; workers are asked to stop running ones. Filters find unfinished ones.",
)
