"""A name server on loopback that answers as it is told, and a look-up that asks it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, ip_address


class NameServer:
    """Answers A queries over UDP with TTL 0; `answer` gives the addresses for a name, each time."""

    def __init__(self, answer: Callable[[str], Sequence[str]]) -> None:
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.queries = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        try:
            while True:
                query, client = self._socket.recvfrom(512)
                self.queries += 1
                self._socket.sendto(self._reply(query), client)
        except OSError:
            return

    def _reply(self, query: bytes) -> bytes:
        labels, at = [], 12
        while size := query[at]:
            labels.append(query[at + 1 : at + 1 + size].decode())
            at += 1 + size
        found = self._answer(".".join(labels))
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
        answers = [
            b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + IPv4Address(address).packed
            for address in found
        ]
        return head + query[12 : at + 5] + b"".join(answers)

    async def resolve(self, host: str, port: int) -> list[IPv4Address]:
        """What a resolver gets for the name now."""
        loop = asyncio.get_running_loop()
        name = b"".join(bytes([len(part)]) + part.encode() for part in host.split("."))
        query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name + b"\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            asking.connect(("127.0.0.1", self.port))
            await loop.sock_sendall(asking, query)
            reply = await asyncio.wait_for(loop.sock_recv(asking, 4096), 5)
        count = struct.unpack("!H", reply[6:8])[0]
        tail = reply[len(query) :]
        return [ip_address(tail[n * 16 + 12 : n * 16 + 16]) for n in range(count)]
