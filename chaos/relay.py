"""A program of its own: passes TCP connections on to a server, and misbehaves when it is told to.

    python -I -S relay.py            (proxy.py starts it; the standard library is all it needs)

Each line of its stdin is a command in JSON, {"do": ..., ...}, answered by a line of its stdout.
It ends when its stdin does, and with it all that it had connected.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import time
from collections import deque

REQUESTS = frozenset(b"BCDEFHPQSX")  # what a message of a client may begin with
EXECUTES = frozenset(b"EQ")
READY = b"Z\0\0\0\x05"
IDLE = READY + b"I"  # nothing is open: what was asked for is committed
TICK = 0.05  # seconds between the drops of a trickle
MOST_QUEUED = 1 << 20  # bytes that one direction holds back before it stops reading
TO_SERVER, TO_CLIENT = "to_server", "to_client"
RESET = struct.pack("ii", 1, 0)


class End(asyncio.Protocol):
    """One end of a road: what it reads goes out at the other, when it may."""

    def __init__(self, road: Road, direction: str) -> None:
        self.road, self.direction = road, direction
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self.queue: deque[tuple[float, bytes]] = deque()
        self.queued = 0
        self.last_due = 0.0
        self.stops: set[str] = set()
        self.timer: asyncio.TimerHandle | None = None
        self.ended = self.has_ended_other = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        found = transport.get_extra_info("socket")
        if found is not None and found.family != socket.AF_UNIX:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.stops:
            transport.pause_reading()
        self.road.made(self)

    def data_received(self, data: bytes) -> None:
        kept = self.road.looked_at(self, data)
        if kept:
            self.send(kept)

    def eof_received(self) -> bool:
        self.ended = True
        self.flush()
        return True

    def connection_lost(self, error: BaseException | None) -> None:
        self.ended = True
        self.stops.clear()
        self.flush()
        if not self.queue:
            self.road.close()

    def pause_writing(self) -> None:
        if self.other:
            self.other.stop("full")

    def resume_writing(self) -> None:
        if self.other:
            self.other.go("full")

    def stop(self, why: str) -> None:
        if not self.stops and self.transport and not self.transport.is_closing():
            self.transport.pause_reading()
        self.stops.add(why)

    def go(self, why: str) -> None:
        self.stops.discard(why)
        if not self.stops and self.transport and not self.transport.is_closing():
            self.transport.resume_reading()
        self.flush()

    def send(self, data: bytes) -> None:
        """Pass on, at once or when this direction's delay or trickle lets it."""
        relay, now = self.road.relay, time.monotonic()
        if relay.trickle:
            step = max(1, int(relay.trickle * TICK))
            self.last_due = max(self.last_due, now)
            for at in range(0, len(data), step):
                self.last_due += TICK
                self.queue.append((self.last_due, data[at : at + step]))
        else:
            due = now + relay.delayed() if relay.delay else now
            self.last_due = due = max(due, self.last_due if self.queue else 0.0)
            if not self.queue and due <= now and not self.is_held:
                self.other_write(data)
                return
            self.queue.append((due, data))
        self.queued += len(data)
        if self.queued > MOST_QUEUED:
            self.stop("queued")
        self.flush()

    @property
    def is_held(self) -> bool:
        return "held" in self.stops or self.other is None or self.other.transport is None

    def other_write(self, data: bytes) -> None:
        assert self.other
        assert self.other.transport
        self.road.relay.passed[self.direction] += len(data)
        self.other.transport.write(data)

    def flush(self) -> None:
        """Pass on what is due, and come back for the rest."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if self.is_held:
            return
        now = time.monotonic()
        while self.queue and self.queue[0][0] <= now:
            _, data = self.queue.popleft()
            self.queued -= len(data)
            self.other_write(data)
        if self.queue:
            self.timer = asyncio.get_running_loop().call_later(
                self.queue[0][0] - now + 0.001, self.flush
            )
        elif self.ended and self.other and self.other.transport:
            self.end_other(self.other.transport)
        if "queued" in self.stops and self.queued < MOST_QUEUED // 2:
            self.go("queued")

    def end_other(self, transport: asyncio.Transport) -> None:
        """Say there that nothing more comes; close it once nobody has anything to say."""
        if transport.is_closing():
            return
        assert self.other
        assert self.transport
        if self.transport.is_closing() or self.other.ended:
            transport.close()
        elif not self.has_ended_other:
            self.has_ended_other = True
            transport.write_eof()


class Road:
    """One connection of a client, and the one that was made for it to the server."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.client, self.server = End(self, TO_SERVER), End(self, TO_CLIENT)
        self.client.other, self.server.other = self.server, self.client
        self.eating = False
        self.eaten = b""
        self.opening: asyncio.Task[None] | None = None
        for end in (self.client, self.server):
            if relay.held[end.direction]:
                end.stops.add("held")

    def made(self, end: End) -> None:
        if end is self.server:
            self.client.flush()
            return
        self.relay.accepted += 1
        self.relay.roads.add(self)
        if self.relay.refusing:
            self.relay.refused += 1
            self.reset()
            return
        self.opening = asyncio.get_running_loop().create_task(self.open())

    async def open(self) -> None:
        """Connect to the server, once the way there is open."""
        loop = asyncio.get_running_loop()
        while "held" in self.client.stops:
            await asyncio.sleep(0.02)
        try:
            where = self.relay.target
            if "path" in where:
                await loop.create_unix_connection(lambda: self.server, where["path"])
            else:
                await loop.create_connection(lambda: self.server, where["host"], where["port"])
        except OSError:
            self.relay.unreachable += 1
            self.reset()

    def looked_at(self, end: End, data: bytes) -> bytes:
        """What of it is to be passed on: all, unless this road's answer is being eaten."""
        if end is self.client:
            if self.relay.to_eat > 0 and not self.eating and executes(data):
                self.eating, self.eaten = True, b""
            return data
        if not self.eating:
            return data
        self.eaten += data
        if self.eaten[-6:-1] != READY:
            return b""
        data, self.eaten, self.eating = self.eaten, b"", False
        if data.endswith(IDLE) and self.relay.to_eat > 0 and is_done(data):
            self.relay.to_eat -= 1
            self.relay.eaten += 1
            self.reset()
            return b""
        return data

    def reset(self) -> None:
        """End it at once, so that both see the connection reset."""
        for end in (self.client, self.server):
            transport = end.transport
            if transport is None or transport.is_closing():
                continue
            found = transport.get_extra_info("socket")
            if found is not None and found.family != socket.AF_UNIX:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            transport.abort()
        self.close()

    def close(self) -> None:
        if self.opening and not self.server.transport:
            self.opening.cancel()
        self.relay.roads.discard(self)
        for end in (self.client, self.server):
            if end.timer:
                end.timer.cancel()
            if end.transport and not end.transport.is_closing():
                end.transport.close()


def executes(data: bytes) -> bool:
    """Whether it is whole messages of a client, and one of them executes something."""
    at, found = 0, False
    while at + 5 <= len(data):
        if data[at] not in REQUESTS:
            return False
        found = found or data[at] in EXECUTES
        at += 1 + int.from_bytes(data[at + 1 : at + 5], "big")
    return found and at == len(data)


def is_done(data: bytes) -> bool:
    """Whether the server's answer tells of a statement that was completed, and of no error."""
    at, done = 0, False
    while at + 5 <= len(data):
        if data[at] == ord("E"):
            return False
        done = done or data[at] == ord("C")
        at += 1 + int.from_bytes(data[at + 1 : at + 5], "big")
    return done


class Relay:
    """All roads, and what is wrong with them."""

    def __init__(self) -> None:
        self.roads: set[Road] = set()
        self.target: dict = {}
        self.delay: tuple[float, float] | None = None
        self.trickle = 0.0
        self.held = {TO_SERVER: False, TO_CLIENT: False}
        self.refusing = False
        self.to_eat = self.eaten = self.accepted = self.refused = self.unreachable = 0
        self.passed = {TO_SERVER: 0, TO_CLIENT: 0}

    def delayed(self) -> float:
        assert self.delay
        return random.uniform(*self.delay)

    async def listen(self, port: int) -> int:
        loop = asyncio.get_running_loop()
        self.listener = await loop.create_server(
            lambda: Road(self).client, "127.0.0.1", port, backlog=512
        )
        return self.listener.sockets[0].getsockname()[1]

    # Commands: each gives a count of the roads concerned

    def do_target(self, where: dict) -> int:
        self.target = where
        return len(self.roads)

    def do_cut(self, share: float) -> int:
        """Reset a share of all roads; at least one, if there is one."""
        roads = list(self.roads)
        random.shuffle(roads)
        for road in roads[: max(1, round(len(roads) * share))]:
            road.reset()
        return min(len(roads), max(1, round(len(roads) * share)))

    def do_hold(self, directions: list[str]) -> int:
        """From now on nothing passes in these directions; the bytes are kept, nobody is told."""
        for direction in directions:
            self.held[direction] = True
        for road in self.roads:
            for end in (road.client, road.server):
                if end.direction in directions:
                    end.stop("held")
        return len(self.roads)

    def do_let_go(self, drop: bool) -> int:
        """Pass again; what was held back goes on, or with `drop` those roads are reset."""
        held = [r for r in self.roads if "held" in r.client.stops | r.server.stops]
        self.held = {TO_SERVER: False, TO_CLIENT: False}
        for road in held:
            if drop:
                road.reset()
                continue
            for end in (road.client, road.server):
                end.go("held")
        return len(held)

    def do_delay(self, low: float, high: float) -> int:
        self.delay = (low, high) if high > 0 else None
        return len(self.roads)

    def do_trickle(self, rate: float) -> int:
        self.trickle = rate
        return len(self.roads)

    def do_eat(self, n: int) -> int:
        self.to_eat, before = n, self.eaten
        return before

    def do_refuse(self, on: bool) -> int:
        self.refusing = on
        return len(self.roads)

    def do_counts(self) -> dict:
        return {
            "open": len(self.roads),
            "accepted": self.accepted,
            "refused": self.refused,
            "unreachable": self.unreachable,
            "eaten": self.eaten,
            **self.passed,
        }


async def main(port: int) -> None:
    relay, loop = Relay(), asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    say({"port": await relay.listen(port)})
    while line := await commands.readline():
        asked = json.loads(line)
        say({"answer": getattr(relay, f"do_{asked.pop('do')}")(**asked)})


def say(answer: dict) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
