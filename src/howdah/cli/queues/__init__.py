"""`howdah queues`: looks at queues, pauses and resumes them."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "queues",
    package="howdah.cli.queues",
    commands={
        "list": "Queues, with what waits in them.",
        "pause": "Stop workers from taking a queue's jobs.",
        "set": "Set what a queue keeps, and how it is served.",
        "share": "Say how much of a queue one key gets.",
        "resume": "Let workers take a queue's jobs again.",
    },
    help="List, pause, resume and set queues.",
)
