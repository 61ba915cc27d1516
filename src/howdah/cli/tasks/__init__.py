"""`howdah tasks`: what workers declared of their tasks."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "tasks",
    package="howdah.cli.tasks",
    commands={"list": "Tasks that workers declared, with how their jobs are run."},
    help="What workers declared of their tasks.",
)
