"""Calls inside a SQLAlchemy session, one waiting call for each customer, as in psycopg2_mq.

DATABASE_URL=postgresql://… python psycopg2_mq_session.py
"""

import asyncio
from datetime import timedelta

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from howdah import App, Context, on

app = App()
CHANGES = ("ada", "bob", "ada", "ada", "bob")


@app.task(queue="reports", name="report")
def report(ctx: Context, customer: str) -> str:
    """Runs in a thread; what many changes have asked for is done once."""
    return f"report for {customer}, attempt {ctx.attempt}"


def changed() -> list[str]:
    """A change asks for a report within a moment; while one waits, others lead to it."""
    url = (app.settings.database_url or "").replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    soon = report.options(delay=timedelta(seconds=0.2))
    with Session(engine) as session:
        session.execute(text("create table if not exists change (customer text)"))
        ids = []
        for customer in CHANGES:
            session.execute(text("insert into change values (:c)"), {"c": customer})
            ids.append(on(session).enqueue(soon.options(unique_key=customer).job(customer)))
        session.commit()
    engine.dispose()
    return sorted({str(job_id) for job_id in ids})


async def main() -> list[object]:
    """Five changes, two reports."""
    from uuid import UUID

    async with app, app.worker(queues=["reports"], slots=4):
        ids = await asyncio.to_thread(changed)
        return [await app.result(UUID(job_id), timeout=10) for job_id in ids]


if __name__ == "__main__":
    for said in asyncio.run(main()):
        print(said)
