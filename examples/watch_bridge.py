"""Passes the states of a queue's jobs on to browsers, by WebSocket.

Run: uvicorn watch_bridge:bridge

A plain ASGI application: connect to ws://localhost:8000/mail, and get {"id": …, "state": …} for
each change of queue `mail`. Ids and states only: what a job is about stays in the database.
"""

import asyncio
import json
from contextlib import suppress

from howdah import App

app = App()


async def bridge(scope, receive, send):
    """One connection: the path names the queue."""
    if scope["type"] != "websocket":
        return
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    telling = asyncio.create_task(tell(scope["path"].strip("/") or "default", send))
    while (await receive())["type"] != "websocket.disconnect":
        pass
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling


async def tell(queue, send):
    """Every change, as JSON."""
    async for change in app.watch(queue):
        text = json.dumps({"id": str(change.id), "state": change.state})
        await send({"type": "websocket.send", "text": text})
