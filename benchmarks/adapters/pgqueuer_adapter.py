"""pgqueuer, on one asyncpg connection."""

import json

import asyncpg
import door
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries


class Client:
    def __init__(self, queries):
        self.queries = queries

    async def one(self, n, sent_at):
        await self.queries.enqueue("noop", json.dumps({"n": n, "t": sent_at}).encode())

    async def bulk(self, numbers):
        payloads = [json.dumps({"n": n}).encode() for n in numbers]
        await self.queries.enqueue(["noop"] * len(payloads), payloads, [0] * len(payloads))


async def main(what):
    driver = AsyncpgDriver(await asyncpg.connect())
    queries = Queries(driver)
    if what == "setup":
        await queries.install()
        if door.BEST:
            await queries.optimize_autovacuum()
        return
    if what == "client":
        await door.serve(Client(queries))
        return
    worker = PgQueuer(driver)

    @worker.entrypoint("noop")
    async def noop(job):
        door.started(json.loads(job.payload).get("t"))

    await door.work(lambda _: worker.run(batch_size=500) if door.BEST else worker.run())


door.run(main, uvloop_always=True)
