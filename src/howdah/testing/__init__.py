"""For tests of programs that use Howdah: fixtures (a pytest plugin), and what they are made of.

    async def test_a_new_user_is_welcomed(howdah_app, jobs):
        await sign_up("ada@example.org")

        assert jobs.enqueued(send_welcome, args={"user_id": 1})
        await jobs.run_all()

Django's tests have their own: howdah.django.testing.
"""

from howdah.testing.jobs import Jobs

__all__ = ["Jobs"]
