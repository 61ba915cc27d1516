"""`howdah listeners`: jobs that come from events."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "listeners",
    package="howdah.cli.listeners",
    commands={
        "list": "Listeners, and what they hear.",
        "put": "Make or change a listener in the database.",
        "pause": "Let a listener hear nothing.",
        "resume": "Let a listener hear again.",
        "emit": "Emit an event; says how many listened.",
        "delete": "Remove a listener; its jobs stay.",
    },
    help="List, make, pause, resume and delete listeners; emit events.",
)
