"""`howdah bench`: measures Howdah on the database at hand, in a schema of its own."""

from howdah.cli.lazy import LazyGroup

command = LazyGroup(
    "bench",
    package="howdah.cli.bench",
    commands={
        "enqueue": "Enqueue one by one, by many clients, in bulk; beside bare inserts.",
        "drain": "Drain no-op jobs with worker processes, and what that costs.",
        "latency": "From the enqueuing call to the job's first line, on an idle worker.",
        "snapshot": "Drain again and again while another transaction is held open.",
        "backlog": "Claim from, enqueue into and look at a great backlog, beside a small one.",
        "idle": "What workers cost that have nothing to do.",
    },
    help="Measure Howdah on the database at hand. Each mode works in a scratch schema, "
    "which is dropped at its end. The whole server's load is felt by everybody on it.",
)
