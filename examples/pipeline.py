"""A pipeline with fan-out and fan-in, as in job_queue_PostgreSQL: assign, classify each, merge.

    DATABASE_URL=postgresql://… python pipeline.py

Each step is a transactional task: what it writes, the jobs it enqueues and its own end commit
together. So the last of the classifiers, and no other, enqueues the merger.
"""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from howdah import App, Context, on

app = App()
TABLES = """
create table if not exists run (id uuid primary key, waits_for int not null);
create table if not exists part (run uuid, wearing int, found text);
"""


@app.task(name="assign", delivery="transactional")
async def assign(ctx: Context, run: UUID, wearings: list[int]) -> None:
    """One job becomes many."""
    await ctx.connection.execute("insert into run values ($1, $2)", run, len(wearings))
    await on(ctx.connection).enqueue_many([classify.job(run, wearing) for wearing in wearings])


@app.task(name="classify", delivery="transactional")
async def classify(ctx: Context, run: UUID, wearing: int) -> None:
    """The row of the run is locked until the commit: of two that end at once, one is the last."""
    kind = "walking" if wearing % 2 else "sitting"
    await ctx.connection.execute("insert into part values ($1, $2, $3)", run, wearing, kind)
    left = await ctx.connection.fetchval(
        "update run set waits_for = waits_for - 1 where id = $1 returning waits_for", run
    )
    if left == 0:
        await on(ctx.connection).enqueue(merge.options(id=run).job(run))


@app.task(name="merge", delivery="transactional")
async def merge(ctx: Context, run: UUID) -> dict[str, int]:
    """Many become one."""
    rows = await ctx.connection.fetch(
        "select found, count(*) as n from part where run = $1 group by found order by found", run
    )
    return {row["found"]: row["n"] for row in rows}


async def main(parts: int = 20) -> Any:
    """One run, to its end; the merger's job has the run's id."""
    import asyncpg

    connection = await asyncpg.connect(app.settings.database_url)
    await connection.execute(TABLES)
    await connection.close()
    run = uuid4()
    async with app, app.worker(slots=8) as worker:
        await assign.enqueue(run, [*range(parts)])
        await worker.idle()
        return await app.result(run, timeout=30)


if __name__ == "__main__":
    print(asyncio.run(main()))
