"""Howdah: the worker inside this process, as `async with app.worker()` has it. History is kept."""

import asyncpg
import door

from howdah import App
from howdah.migrate import migrate

app = App("postgresql://")


@app.task(name="noop", queue="bench")
async def noop(n: int, t: int | None = None) -> None:
    door.started(t)


class Client:
    async def one(self, n, sent_at):
        await app.enqueue(noop.job(n=n) if sent_at is None else noop.job(n=n, t=sent_at))

    async def bulk(self, numbers):
        await app.enqueue_many([noop.job(n=n) for n in numbers])


async def work(stop):
    async with app.worker(queues=["bench"], slots=500 if door.BEST else None):
        await stop.wait()


async def main(what):
    if what == "setup":
        connection = await asyncpg.connect()
        await migrate(connection, "howdah")
        await connection.close()
        return
    async with app:
        await (door.serve(Client()) if what == "client" else door.work(work))


door.run(main)
