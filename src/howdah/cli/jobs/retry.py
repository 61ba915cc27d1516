"""`howdah jobs retry`: brings finished jobs back."""

from howdah import jobs
from howdah.cli.jobs.changing import Verb, verb_command

command = verb_command(
    Verb(
        name="retry",
        past="retried",
        call=jobs.retry,
        states=("failed",),
        refusal="only a finished job can be retried",
    ),
    "Bring finished jobs back under their ids, with fresh room for attempts. Filters find failed "
    "ones, unless --state says otherwise.",
)
