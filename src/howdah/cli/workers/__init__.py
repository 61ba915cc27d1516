"""`howdah workers`: looks at workers, and tells them to leave."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "workers",
    package="howdah.cli.workers",
    commands={
        "list": "Workers, the oldest first.",
        "drain": "Tell a worker to finish what it runs, and leave.",
        "kill": "Tell a worker to hand back what it runs, and leave.",
    },
    help="List, drain and kill workers.",
)
