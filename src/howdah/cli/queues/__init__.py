"""`howdah queues`: looks at queues, pauses and resumes them."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "queues",
    package="howdah.cli.queues",
    commands={
        "list": "Queues, with what waits in them.",
        "pause": "Stop workers from taking a queue's jobs.",
        "resume": "Let workers take a queue's jobs again.",
    },
    help="List, pause and resume queues.",
)
