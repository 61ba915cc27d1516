"""A job is an URL, as in ipo: a row is inserted, the answer is stored with it, the caller waits.

DATABASE_URL=postgresql://… python ipo_urls.py https://example.org
"""

import asyncio
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import asyncpg

from howdah import App, Fail, Retry, Snooze

app = App()


@app.task(name="call", timeout=30, retry=Retry(max_attempts=3))
def call(url: str, method: str = "get", data: str | None = None) -> dict[str, object]:
    """Calls it, in a thread: state of the job and status of the answer are two things."""
    if not url.startswith(("http://", "https://")):
        raise Fail(f"Invalid URL {url!r}")
    request = Request(url, None if data is None else data.encode(), method=method.upper())
    try:
        with urlopen(request, timeout=20) as answer:
            return {"status": answer.status, "body": answer.read(1_000_000).decode()}
    except HTTPError as error:
        with error:
            if error.code == 503:
                raise Snooze(float(error.headers.get("Retry-After", "5"))) from None
            return {"status": error.code, "body": error.read(1_000_000).decode()}


async def main(*urls: str) -> list[object]:
    """Inserts a row for each, as any client of the database could, and waits for the answers."""
    async with app, app.worker(slots=500):
        connection = await asyncpg.connect(app.settings.database_url)
        ids = [
            await connection.fetchval(
                "insert into howdah.jobs (task, args) "
                "values ('call', jsonb_build_object('url', $1::text)) returning id",
                url,
            )
            for url in urls
        ]
        await connection.close()
        return await asyncio.gather(
            *(app.result(job_id, timeout=60) for job_id in ids), return_exceptions=True
        )


if __name__ == "__main__":
    for said in asyncio.run(main(*sys.argv[1:])):
        print(said)
