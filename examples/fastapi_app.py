"""FastAPI: a job enqueued in the request's transaction, a worker inside, a result waited for.

    DATABASE_URL=postgresql://… uvicorn fastapi_app:web
    curl -X POST 'localhost:8000/people?email=ada@example.org'
    curl 'localhost:8000/jobs/…'

With WORKER=beside no worker runs in here; start one with: howdah worker fastapi_app:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI, HTTPException

from howdah import App, JobFailed, NotFound, on

app = App()
TABLES = """
create table if not exists person (id serial primary key);
create table if not exists address (email text primary key, person int);
"""


@app.task(queue="mail", timeout=30)
async def welcome(person: int, email: str) -> str:
    """A task: it runs once the transaction that enqueued it has committed."""
    return f"welcomed {email}, the {person}. of us"


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    """Pool, app and worker are there from the first request to the last."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(asyncpg.create_pool(app.settings.database_url))
        await pool.execute(TABLES)
        web.state.pool = pool
        await stack.enter_async_context(app)
        if os.environ.get("WORKER") != "beside":
            await stack.enter_async_context(app.worker(slots=10))
        yield


web = FastAPI(lifespan=lifespan)


@web.post("/people", status_code=202)
async def sign_up(email: str) -> dict[str, Any]:
    """The person and the job, or neither."""
    try:
        async with web.state.pool.acquire() as connection, connection.transaction():
            person = await connection.fetchval("insert into person default values returning id")
            job = await on(connection).enqueue(welcome.job(person, email))
            await connection.execute("insert into address values ($1, $2)", email, person)
    except asyncpg.UniqueViolationError:
        raise HTTPException(409, "we know that address") from None
    return {"person": person, "job": job}


@web.get("/jobs/{job_id}")
async def result(job_id: UUID, wait: float = 10) -> dict[str, Any]:
    """What became of it, waited for by notification."""
    try:
        return {"result": await app.result(job_id, timeout=wait)}
    except NotFound as error:
        raise HTTPException(404, error.message) from None
    except TimeoutError:
        raise HTTPException(504, "it has not ended yet; ask again") from None
    except JobFailed as error:
        raise HTTPException(500, error.message) from None
