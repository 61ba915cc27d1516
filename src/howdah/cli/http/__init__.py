"""`howdah http`: has URLs called, and says which may be."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "http",
    package="howdah.cli.http",
    commands={
        "call": "Have a worker call a URL, and print what it answers.",
        "wait": "Wait for a URL job, and print what was answered.",
        "allow": "Let URL jobs reach what is not of the public internet.",
        "disallow": "Take that back.",
        "allowed": "What URL jobs may reach beside the public internet.",
    },
    help="Call URLs from jobs, and say which may be called.",
)
