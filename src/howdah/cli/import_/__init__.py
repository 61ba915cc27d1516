"""`howdah import`: brings the waiting jobs of other systems over."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "import",
    package="howdah.cli.import_",
    commands={
        "procrastinate": "Take the jobs that wait in procrastinate.",
        "pgqueuer": "Take the jobs that wait in pgqueuer.",
    },
    help="Bring the waiting jobs of other systems over.",
)
