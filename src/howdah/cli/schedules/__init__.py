"""`howdah schedules`: jobs that come with time."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "schedules",
    package="howdah.cli.schedules",
    commands={
        "list": "Schedules, with their next and last ticks.",
        "next": "When a schedule fires next.",
        "put": "Make or change a schedule in the database.",
        "pause": "Fire a schedule no more.",
        "resume": "Fire a schedule again, from now on.",
        "run": "Make a job of a schedule now, besides its ticks.",
        "delete": "Remove a schedule; its jobs stay.",
    },
    help="List, make, pause, resume, run and delete schedules.",
)
