"""A server that answers after so many seconds; a line on stdin asks it what it has counted."""

from __future__ import annotations

import asyncio
import json
import resource
import sys

ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
)
counts = {"hits": 0, "open": 0, "peak": 0, "connections": 0}


class Answers(asyncio.Protocol):
    def __init__(self, delay):
        self.delay, self.rest, self.open = delay, b"", 0

    def connection_made(self, transport):
        self.transport = transport
        counts["connections"] += 1

    def data_received(self, data):
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            self.rest = self.rest[end + 4 :]
            self.open += 1
            counts["hits"] += 1
            counts["open"] += 1
            counts["peak"] = max(counts["peak"], counts["open"])
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self.answer)
            else:
                self.answer()

    def answer(self):
        if self.open:
            self.open -= 1
            counts["open"] -= 1
            self.transport.write(ANSWER)

    def connection_lost(self, _):
        counts["open"] -= self.open
        self.open = 0


def told():
    if not sys.stdin.readline():
        sys.exit()
    sys.stdout.write(f"{json.dumps(counts)}\n")
    sys.stdout.flush()


async def main():
    loop = asyncio.get_running_loop()
    delay = float(sys.argv[1])
    server = await loop.create_server(lambda: Answers(delay), "127.0.0.1", 0, backlog=4096)
    loop.add_reader(sys.stdin.fileno(), told)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main())
