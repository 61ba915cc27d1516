"""procrastinate, over psycopg; its finished jobs stay, as they do unless told otherwise."""

import door
from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(**({"min_size": 1, "max_size": 10} if door.BEST else {})))


@app.task(name="noop")
async def noop(n, t=None):
    door.started(t)


class Client:
    async def one(self, n, sent_at):
        await noop.defer_async(n=n, t=sent_at)

    async def bulk(self, numbers):
        await noop.batch_defer_async(*({"n": n} for n in numbers))


async def main(what):
    async with app.open_async():
        if what == "setup":
            await app.schema_manager.apply_schema_async()
        elif what == "client":
            await door.serve(Client())
        else:
            options = {"concurrency": 30} if door.BEST else {}
            await door.work(lambda _: app.run_worker_async(**options))


door.run(main)
