"""A real HTTP server for tests: it reads raw requests and answers raw bytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hit:
    """One request, as it was read from the socket."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


Reply = bytes | Callable[[Hit], Any]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


def reply(status: str = "200 OK", body: bytes = b"", *headers: tuple[str, str]) -> bytes:
    """An answer, byte by byte as it is sent."""
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in headers)]
    if not any(k.lower() in {"content-length", "transfer-encoding"} for k, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """Answers by path, on a loop of its own in a thread. `on` says with what, and when."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.open = self.peak = self.connections = 0
        self._replies: dict[str, tuple[Reply, float]] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait(5)

    def on(self, path: str, answer: Reply = OK, *, after: float = 0.0) -> str:
        """The URL of a path that answers so."""
        self._replies[path.partition("?")[0]] = (answer, after)
        return self.url(path)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=4096)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (hit := await _read(reader)) is not None:
                self.hits.append(hit)
                self.open += 1
                self.peak = max(self.peak, self.open)
                try:
                    goes_on = await self._answer(hit, writer)
                finally:
                    self.open -= 1
                if not goes_on:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, hit: Hit, writer: asyncio.StreamWriter) -> bool:
        answer, after = self._replies.get(hit.path.partition("?")[0], (reply("404 Not Found"), 0))
        if after:
            await asyncio.sleep(after)
        if callable(answer):
            answer = answer(hit)
        if hasattr(answer, "__aiter__"):
            async for part in answer:
                writer.write(part)
                await writer.drain()
            return False
        if not answer:
            return False
        writer.write(answer)
        await writer.drain()
        return True


async def _read(reader: asyncio.StreamReader) -> Hit | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = tuple((line.partition(": ")[0], line.partition(": ")[2]) for line in lines)
    length = int(next((v for k, v in headers if k.lower() == "content-length"), 0))
    body = await reader.readexactly(length)
    return Hit(method, path, headers, body, head + body)
