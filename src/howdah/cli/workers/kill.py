"""`howdah workers kill`: tells workers to hand back what they run, and leave."""

from howdah import workers
from howdah.cli.workers.telling import telling_command

command = telling_command(
    "kill", workers.kill, "Tell workers to stop at once, hand back what they run, and leave."
)
