"""`howdah cursors`: what the jobs of a serial key hand on to each other."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "cursors",
    package="howdah.cli.cursors",
    commands={
        "list": "Serial keys, with whose turn it is.",
        "show": "One serial key and its cursor.",
        "set": "Set a cursor by hand.",
    },
    help="List, show and set the cursors of serial keys.",
)
