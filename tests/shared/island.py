"""Two network namespaces: a worker lives in one, and the other is all the world there is.

`unshare --net --mount python island.py DSN` starts `howdah worker --http` in the first; whatever it
connects to, public or private, its own machine or another, is a server of ours that counts. A line
on stdin asks for the counts. Names are answered by a server of ours that lies.
"""

# ruff: noqa: ASYNC220, ASYNC221 - nothing else runs yet

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from urllib.parse import unquote_to_bytes

PORTS = (22, 80, 443, 5432, 6379, 8080, 8443, 11211)
PUBLIC, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1::1"
A, CNAME, AAAA = 1, 5, 28
NAMES = {
    "public.test": [PUBLIC, PUBLIC_6],
    "private.test": ["10.0.0.5"],
    "metadata.test": ["169.254.169.254"],
    "loopback.test": ["127.0.0.1"],
    "any.test": ["0.0.0.0"],
    "own.test": ["81.2.69.1"],
    "own6.test": ["2606:77::1"],
    "mixed.test": [PUBLIC, "10.0.0.5"],
    "six.test": ["fd00:ec2::254"],
    "link.test": ["fe80::1"],
    "one.test": ["::1"],
    "half.test": [PUBLIC, "::1"],
    "mapped.test": ["::ffff:10.0.0.5"],
    "nat64.test": ["64:ff9b::a00:5"],
    "6to4.test": ["2002:a00:5::1"],
    "chain.test": "link1.test",
    "link1.test": "link2.test",
    "link2.test": "metadata.test",
}
FACES = itertools.cycle(
    [[PUBLIC], ["10.0.0.5"], [PUBLIC, "169.254.169.254"], ["127.0.0.1", PUBLIC], [PUBLIC],
     [PUBLIC_6], ["::1"], ["fd00:ec2::254", PUBLIC_6], [PUBLIC], ["81.2.69.1"]]
)  # fmt: skip
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
connections: Counter[str] = Counter()


def cable(name):
    """A network device whose packets are read from, and written to, a file."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return end


def carry(one, other):
    """Packets from one end to the other, as long as there are any."""
    with suppress(BlockingIOError):
        while packet := os.read(one, 65_536):
            with suppress(OSError):
                os.write(other, packet)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


async def answer(reader, writer):
    """Any address, any port: counted, and answered with a redirect to what is asked for."""
    connections[writer.get_extra_info("sockname")[0]] += 1
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        _, _, asked = head.split(b" ")[1].partition(b"?to=")
        there = b"HTTP/1.1 200 OK\r\n"
        if asked:
            there = b"HTTP/1.1 302 Found\r\nLocation: " + unquote_to_bytes(asked) + b"\r\n"
        writer.write(there + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    writer.close()


async def listen():
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for port in PORTS:
            await asyncio.start_server(answer, host, port, family=family, backlog=1024)


class Names(asyncio.DatagramProtocol):
    """Answers with TTL 0; *.rebind.test is somewhere else each time."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, client):
        labels, at = [], 12
        while size := query[at]:
            labels.append(query[at + 1 : at + 1 + size].decode())
            at += 1 + size
        kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
        found = [*records(".".join(labels).lower(), kind)]
        flags = 0x8180 if found else 0x8183
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        self.transport.sendto(head + query[12 : at + 5] + b"".join(found), client)


def records(name, kind, owner=b"\xc0\x0c"):
    to = next(FACES) if name.endswith("rebind.test") else NAMES.get(name, [])
    if isinstance(to, str):
        there = b"".join(bytes([len(part)]) + part.encode() for part in to.split(".")) + b"\0"
        yield owner + struct.pack("!HHIH", CNAME, 1, 0, len(there)) + there
        yield from records(to, kind, there)
        return
    for address in to:
        is_6 = ":" in address
        if kind == (AAAA if is_6 else A):
            packed = socket.inet_pton(socket.AF_INET6 if is_6 else socket.AF_INET, address)
            yield owner + struct.pack("!HHIH", kind, 1, 0, len(packed)) + packed


def tell(what):
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def lines():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def world(near):
    """Everything that is not this machine: any address is an address of ours."""
    asked, loop = await lines(), asyncio.get_running_loop()
    far = cable("far")
    loop.add_reader(near, carry, near, far)
    loop.add_reader(far, carry, far, near)
    ip("link", "set", "lo", "up")
    ip("addr", "add", "81.2.69.2/24", "dev", "far")
    ip("addr", "add", "2606:77::2/64", "dev", "far", "nodad")
    ip("link", "set", "far", "up")
    ip("route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "main")
    ip("-6", "route", "add", "local", "::/0", "dev", "lo", "table", "main")
    await listen()
    tell("up")
    while await asked.readline():
        tell(json.dumps(connections))


async def island(dsn):
    end = cable("near")
    far = subprocess.Popen(
        ["unshare", "--net", sys.executable, __file__, "--world", str(end)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[end],
    )  # fmt: skip
    os.close(end)
    ip("link", "set", "lo", "up")
    ip("addr", "add", "81.2.69.1/24", "dev", "near")
    ip("addr", "add", "2606:77::1/64", "dev", "near", "nodad")
    ip("link", "set", "near", "up")
    ip("route", "add", "default", "via", "81.2.69.2")
    ip("-6", "route", "add", "default", "via", "2606:77::2")
    assert far.stdout.readline() == "up\n"
    with tempfile.NamedTemporaryFile("w", suffix=".resolv.conf") as resolv:
        resolv.write("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
        resolv.flush()
        subprocess.run(["mount", "--bind", resolv.name, "/etc/resolv.conf"], check=True)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 53))
        await listen()
        worker = subprocess.Popen(
            [sys.executable, "-m", "howdah", "worker", "--http", "-p", "1"],
            env={**os.environ, "DATABASE_URL": dsn}, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            await serve(worker, far)
        finally:
            worker.terminate()
            worker.communicate()
            far.kill()


async def serve(worker, far):
    asked = await lines()
    while b"worker" not in (line := await asyncio.to_thread(worker.stderr.readline)):
        assert line, "it did not start"
    asyncio.get_running_loop().run_in_executor(None, worker.stderr.read)
    tell("ready")
    while await asked.readline():
        far.stdin.write("\n")
        far.stdin.flush()
        tell(json.dumps({"near": connections, "far": json.loads(far.stdout.readline())}))


if __name__ == "__main__":
    if sys.argv[1] == "--try":
        os.close(cable("near"))
        ip("link", "set", "lo", "up")
        subprocess.run(["mount", "--bind", "/etc/resolv.conf", "/etc/resolv.conf"], check=True)
    elif sys.argv[1] == "--world":
        asyncio.run(world(int(sys.argv[2])))
    else:
        asyncio.run(island(sys.argv[1]))
