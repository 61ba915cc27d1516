"""Found by howdah.django, because the app is installed."""

from howdah.django import task


@task(priority=5, delivery="at_most_once")
def confirm(customer: str) -> str:
    """At most once: what was started is never started again."""
    return f"confirmed {customer}"
