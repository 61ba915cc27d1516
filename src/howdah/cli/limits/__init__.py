"""`howdah limits`: how many jobs of a key may run at once, in the whole fleet."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "limits",
    package="howdah.cli.limits",
    commands={
        "list": "Limits, and how full their keys are.",
        "set": "Let at most so many jobs of a key run at once.",
        "rate": "Let at most so many jobs of a key start in a time.",
        "remove": "Take a limit away.",
    },
    help="List, set and remove limits and rates.",
)
