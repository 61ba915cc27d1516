"""Several versions of a task, served at once."""

from __future__ import annotations

from howdah import App


async def test_a_worker_runs_each_job_with_the_version_that_it_names(app):
    ran: list[tuple[str, str]] = []

    @app.task(name="mail", version="1.0")
    async def old(said: str) -> None:
        ran.append(("old", said))

    @app.task(name="mail", version="2.1")
    async def new(said: str) -> None:
        ran.append(("new", said))

    async with app.worker() as worker:
        for task in (
            old,
            new,
            old.options(version="*"),
            new.options(version="1.*"),
            old.options(version=">1"),
        ):
            await task.enqueue(task.job("").task)
        await worker.idle()

    assert sorted(ran) == sorted([
        ("old", "mail@1.0"), ("new", "mail@2.1"), ("new", "mail"), ("old", "mail@>=1,<2"),
        ("new", "mail@>1"),
    ])  # fmt: skip


async def test_what_another_version_is_for_waits(app, dsn, store, eventually):
    @app.task(name="mail", version="9.1.0")
    async def mail() -> None: ...

    job = await mail.options(version="1.0.0").enqueue()
    async with app.worker() as worker:
        await worker.idle()
        assert store.state(job) == "ready"
        assert "served: mail, mail@9.1.0" in store.one("select howdah.why(%s)", job)
        other = App(dsn)

        @other.task(name="mail", version="1.0.0")
        async def older() -> None: ...

        async with other, other.worker():
            await eventually(lambda: store.state(job) == "succeeded")
