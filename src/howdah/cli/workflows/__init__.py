"""`howdah workflows`: looks at named runs of jobs, and changes what becomes of them."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "workflows",
    package="howdah.cli.workflows",
    commands={
        "list": "Workflows, the newest first.",
        "show": "One workflow: its steps, as a graph in text, as Mermaid or as JSON.",
        "cancel": "Cancel workflows: what waits, and what runs.",
        "retry": "Try workflows again, from the jobs that failed on, or as a whole.",
    },
    help="Look at workflows, and change what becomes of them. An ID is a whole one, or, for the "
    "newest 10,000 workflows, its last 6 or more characters.",
)
