"""awa: a Rust engine with a Python SDK. At best single jobs go over its bridge to asyncpg."""

import os
from dataclasses import dataclass

import door

if door.BEST:  # its engine reads these when it starts
    os.environ.setdefault("AWA_COMPLETION_SHARDS", "1")
    os.environ.setdefault("AWA_COMPLETION_BATCH_SIZE", "2048")

import asyncpg
import awa
from awa.bridge import insert_job


@dataclass
class Noop:
    n: int
    t: int | None = None


class Client:
    def __init__(self, client, connection):
        self.client, self.connection = client, connection

    async def one(self, n, sent_at):
        if door.BEST:
            await insert_job(self.connection, Noop(n, sent_at))
        else:
            await self.client.insert(Noop(n, sent_at))

    async def bulk(self, numbers):
        await self.client.enqueue_many_copy([Noop(n) for n in numbers])


def url():
    env = os.environ
    where = f"host={env['PGHOST']}&port={env['PGPORT']}&user={env['PGUSER']}"
    return f"postgresql:///{env['PGDATABASE']}?{where}"


async def setup(client):
    await client.migrate()
    transaction = await client.transaction()  # what its first worker would do on a new database
    await transaction.fetch_one("SELECT awa.storage_auto_finalize_if_fresh('awa') AS ok")
    await transaction.commit()


async def main(what):
    client = awa.AsyncClient(url(), max_connections=20 if door.BEST else 10)
    if what == "setup":
        await setup(client)
    elif what == "client":
        await door.serve(Client(client, await asyncpg.connect()))
    else:

        @client.task(Noop, queue="default")
        async def noop(job):
            door.started(job.args.t)

        async def work(stop):
            if door.BEST:
                queues = awa.PartitionedQueue("default", 1).queue_configs(
                    max_workers_per_partition=4096,
                    claim_batch_size=2048,
                    claimers=1,
                    deadline_duration_ms=300_000,
                )
                await client.start(queues, poll_interval_ms=200)
            else:
                await client.start([("default", 50)])
            await stop.wait()

        await door.work(work)
    await client.close()


door.run(main)
