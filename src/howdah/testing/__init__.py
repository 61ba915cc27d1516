"""For tests of programs that use Howdah: fixtures (a pytest plugin), and what they are made of.

    async def test_a_new_user_is_welcomed(howdah_app, jobs):
        await sign_up("ada@example.org")

        assert jobs.enqueued(send_welcome, args={"user_id": 1})
        await jobs.run_all()

Django's tests have their own: howdah.django.testing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from howdah.testing.jobs import Jobs

__all__ = ["Jobs"]


def __getattr__(name: str) -> Any:
    """Imported when first used: pytest loads the plugin in every run."""
    if name != "Jobs":
        raise AttributeError(f"module 'howdah.testing' has no attribute {name!r}")
    from howdah.testing.jobs import Jobs

    return Jobs
