"""Which HTTP library for URL jobs: CPU and memory at 2,000 requests in flight, address pinned.

    python benchmarks/http_libraries.py [--requests 10000] [--in-flight 2000] [--delay 0.5]

Each library runs in a process of its own against the same server process on loopback, in turns.
Both are given the address by code of ours, as URL jobs need it: aiohttp by a resolver and a socket
factory, httpx2 by a network backend.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import socket
import statistics
import subprocess
import sys
import time

ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
)
LIBRARIES = ("aiohttp", "httpx2")


async def serve(delay: float) -> None:
    loop = asyncio.get_running_loop()

    class Answers(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport, self.rest = transport, b""

        def data_received(self, data):
            self.rest += data
            while (end := self.rest.find(b"\r\n\r\n")) >= 0:
                self.rest = self.rest[end + 4 :]
                loop.call_later(delay, self.answer) if delay else self.answer()

        def answer(self):
            if not self.transport.is_closing():
                self.transport.write(ANSWER)

    server = await loop.create_server(Answers, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def by_aiohttp(port: int, requests: int, in_flight: int) -> None:
    import aiohttp
    from aiohttp.abc import AbstractResolver

    class Pinned(AbstractResolver):
        async def resolve(self, host, port=0, family=socket.AF_INET):
            return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family,
                     "proto": 0, "flags": socket.AI_NUMERICHOST}]  # fmt: skip

        async def close(self):
            pass

    def vetted(info):
        assert info[4][0] == "127.0.0.1"
        return socket.socket(info[0], info[1], info[2])

    connector = aiohttp.TCPConnector(
        limit=0,
        resolver=Pinned(),
        use_dns_cache=False,
        socket_factory=vetted,
        happy_eyeballs_delay=None,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    ) as session:

        async def one(url: str) -> None:
            async with session.get(url, allow_redirects=False) as response:
                await response.read()

        await run(one, f"http://host.test:{port}/", requests, in_flight)


async def by_httpx2(port: int, requests: int, in_flight: int) -> None:
    import httpcore2
    import httpx2

    class Pinned(httpcore2.AsyncNetworkBackend):
        def __init__(self):
            self.real = httpcore2.AnyIOBackend()

        async def connect_tcp(
            self, host, port, timeout=None, local_address=None, socket_options=None
        ):
            return await self.real.connect_tcp(
                "127.0.0.1", port, timeout, local_address, socket_options
            )

        async def sleep(self, seconds):
            await self.real.sleep(seconds)

    transport = httpx2.AsyncHTTPTransport(
        trust_env=False, limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    )
    transport._pool._network_backend = Pinned()  # the transport has no parameter for it
    async with httpx2.AsyncClient(transport=transport, trust_env=False, timeout=60) as client:

        async def one(url: str) -> None:
            await client.get(url, follow_redirects=False)

        await run(one, f"http://host.test:{port}/", requests, in_flight)


async def run(one, url: str, requests: int, in_flight: int) -> None:
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await one(url)

    empty = memory()
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({
        "cpu_us": cpu / requests * 1e6, "per_second": requests / took,
        "mib": (memory() - empty) / 1024,
    }))  # fmt: skip


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(library: str, port: int, args: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--library", library, "--port", str(port),
               "--requests", str(args.requests), "--in-flight", str(args.in_flight)]  # fmt: skip
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=2_000)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds until the server answers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--library", choices=LIBRARIES, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.delay))
    if args.library:
        by = {"aiohttp": by_aiohttp, "httpx2": by_httpx2}[args.library]
        asyncio.run(by(args.port, args.requests, args.in_flight))
        return
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", "--delay", str(args.delay)], stdout=subprocess.PIPE
    )
    try:
        port = int(server.stdout.readline())
        found = {library: [] for library in LIBRARIES}
        for _ in range(args.rounds):
            for library in LIBRARIES:
                found[library].append(measured(library, port, args))
    finally:
        server.kill()
    print(
        f"{args.requests} requests, {args.in_flight} in flight, {args.delay} s each; "
        f"medians of {args.rounds}"
    )
    for library, rows in found.items():
        middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        print(
            f"{library:8} {middle['cpu_us']:6.0f} us CPU/request "
            f"{middle['per_second']:6.0f}/s {middle['mib']:6.1f} MiB more"
        )


if __name__ == "__main__":
    main()
