"""`howdah workers`: looks at workers, and tells them to leave."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "workers",
    package="howdah.cli.workers",
    commands={
        "list": "Workers, the oldest first.",
        "status": "What workers were told, and what they run.",
        "drain": "Tell workers to finish what they run, and leave.",
        "kill": "Tell workers to leave soon, or at once.",
    },
    help="List, drain and kill workers. A WORKER is a whole id, or its last 6 or more characters.",
)
