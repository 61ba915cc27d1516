"""`howdah workers drain`: tells workers to finish what they run, and leave."""

from howdah import workers
from howdah.cli.workers.telling import telling_command

command = telling_command(
    "drain", workers.drain, "Tell workers to claim no more, finish what they run, and leave."
)
