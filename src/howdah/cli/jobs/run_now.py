"""`howdah jobs run-now`: makes scheduled jobs ready."""

from howdah import jobs
from howdah.cli.jobs.changing import Verb, verb_command

command = verb_command(
    Verb(
        name="run-now",
        past="ready",
        call=jobs.run_now,
        states=("scheduled",),
        refusal="only a scheduled job can be made ready",
    ),
    "Make scheduled jobs ready now.",
)
