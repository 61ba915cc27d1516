"""`howdah jobs`: looks at jobs, and changes what becomes of them."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "jobs",
    package="howdah.cli.jobs",
    commands={
        "list": "Jobs, the newest first, a page at a time.",
        "show": "One job, with its attempts, and why it is not running.",
        "why": "Why a job is not running, in one sentence.",
        "retry": "Bring finished jobs back.",
        "cancel": "Cancel jobs, running ones too.",
        "delete": "Remove jobs that do not run, and their history.",
        "run-now": "Make scheduled jobs ready.",
    },
    help="Look at jobs, and change what becomes of them. An ID is a whole one, or, for the "
    "newest 10,000 jobs, its last 6 or more characters.",
)
