"""A browser page that sees the states of its jobs as they change, over a WebSocket (Starlette).

DATABASE_URL=postgresql://… uvicorn websocket_bridge:web
open http://localhost:8000
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from howdah import App, HowdahError, jobs

LOOK_EVERY = 0.25  # seconds; the end is told at once, by notification
ENDED = {"succeeded", "failed", "cancelled"}
PAGE = """<!doctype html>
<title>Jobs</title>
<button>Start one</button>
<ol></ol>
<script>
document.querySelector("button").onclick = async () => {
  const {job} = await (await fetch("/jobs", {method: "POST"})).json();
  const line = document.querySelector("ol").appendChild(document.createElement("li"));
  const socket = new WebSocket(`ws://${location.host}/jobs/${job}`);
  socket.onmessage = (event) => { line.textContent = `${job}: ${JSON.parse(event.data).state}`; };
};
</script>
"""

app = App()


@app.task
async def brew(seconds: float = 1.0) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "tea"


async def states(job_id: UUID) -> AsyncIterator[dict[str, Any]]:
    """Each state of the job once, until it has ended or is not there any more."""
    ended = asyncio.create_task(_ended(job_id))
    seen = None
    try:
        while (now := await app.run(jobs.outcome(job_id))) is not None:
            if now.state != seen:
                seen = now.state
                yield {"state": now.state, "result": now.result, "error": now.error}
            if now.state in ENDED:
                return
            await asyncio.wait({ended}, timeout=LOOK_EVERY)
    finally:
        ended.cancel()


async def _ended(job_id: UUID) -> None:
    with suppress(HowdahError):  # failed, cancelled or gone: the next look says so
        await app.result(job_id)


async def watch(socket: WebSocket) -> None:
    """One message for each change of state."""
    await socket.accept()
    with suppress(WebSocketDisconnect):
        async for change in states(socket.path_params["job_id"]):
            await socket.send_json(change)
        await socket.close()


async def start(_: Request) -> JSONResponse:
    """A job."""
    return JSONResponse({"job": str(await brew.enqueue())}, 202)


async def page(_: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """The app's connections, and a worker in this process."""
    async with app, app.worker(slots=10):
        yield


web = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", page),
        Route("/jobs", start, methods=["POST"]),
        WebSocketRoute("/jobs/{job_id:uuid}", watch),
    ],
)
