"""oban for Python, over psycopg."""

import door
from oban import Oban, worker
from oban.schema import install
from psycopg_pool import AsyncConnectionPool


@worker(queue="default")
class Noop:
    async def process(self, job):
        door.started(job.args.get("t"))


class Client:
    def __init__(self, oban):
        self.oban = oban

    async def one(self, n, sent_at):
        await self.oban.enqueue(Noop.new({"n": n, "t": sent_at}))

    async def bulk(self, numbers):
        await self.oban.enqueue_many([Noop.new({"n": n}) for n in numbers])


async def main(what):
    async with AsyncConnectionPool("", min_size=1, max_size=10, open=False) as pool:
        if what == "setup":
            await install(pool)
        elif what == "client":
            async with Oban(pool=pool) as oban:
                await door.serve(Client(oban))
        else:

            async def work(stop):
                async with Oban(pool=pool, queues={"default": 500 if door.BEST else 10}):
                    await stop.wait()

            await door.work(work)


door.run(main)
