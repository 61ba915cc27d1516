"""`howdah db`: the schema, and the project's embedded PostgreSQL."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "db",
    package="howdah.cli.db",
    commands={
        "migrate": "Install the schema, or bring it to this version.",
        "status": "Which version is installed, and what would be applied.",
        "sql": "Print what migrate would run, for a DBA to run.",
        "check": "Compare what is installed with what this version needs.",
        "grant": "Give a role what a producer, worker, viewer or operator needs.",
        "start": "Start the embedded PostgreSQL; it stays until it is stopped.",
        "stop": "Stop the embedded PostgreSQL.",
        "reset": "Delete the embedded PostgreSQL's data.",
        "url": "Print where the database is.",
    },
    help="The schema, and the project's embedded PostgreSQL.",
)
