"""Pooled connections, each to an address that was looked at: what was vetted is what is met."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractResolver

from howdah.http.address import Address
from howdah.http.gate import Gate
from howdah.http.url import Url

KEEP_IDLE = 15.0  # seconds that a connection is kept for the next call
LOOK_UP_WITHIN = 5.0
THREADS = 16  # that look up names
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class NoAddress(OSError):
    """A name cannot be looked up."""


class DeniedAddress(OSError):
    """An address that no socket is made for."""


class Lookups:
    """Names to addresses, as the system does it, in a few threads of its own."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """All addresses; raises NoAddress."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="howdah lookup")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN):
                found = await loop.run_in_executor(self._threads, _look_up, host, port)
        except TimeoutError:
            raise NoAddress(f"looking up {host} took longer than {LOOK_UP_WITHIN:g} s") from None
        except (OSError, UnicodeError) as error:
            raise NoAddress(f"{host} cannot be looked up: {_why(error)}") from error
        return found

    def close(self) -> None:
        """Let the threads end."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [*dict.fromkeys(ip_address(info[4][0]) for info in found)]


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


class Vetted(AbstractResolver):
    """Gives addresses of a name only if all of them may be reached; with no gate, all."""

    def __init__(self, resolve: Resolve, gate: Callable[[], Gate] | None) -> None:
        self._resolve, self._gate = resolve, gate

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        """What aiohttp connects to, and nothing else."""
        addresses = await self._resolve(host, port)
        if self._gate is not None:
            scheme = "https" if port == 443 else "http"
            self._gate().check_addresses(
                Url(scheme=scheme, host=host, port=port, path="/"), addresses
            )
        if not addresses:
            raise NoAddress(f"{host} has no address")
        return [_as_aiohttp_wants_it(host, port, address) for address in addresses]

    async def close(self) -> None:
        """There is nothing to close."""


def _as_aiohttp_wants_it(host: str, port: int, address: Address) -> Mapping[str, Any]:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return {
        "hostname": host,
        "host": str(address),
        "port": port,
        "family": family,
        "proto": socket.IPPROTO_TCP,
        "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    }


_is_reused: ContextVar[bool] = ContextVar("howdah_connection_is_reused", default=False)


def was_reused() -> bool:
    """Whether this asyncio task's last request went over a connection that was there before."""
    return _is_reused.get()


class Connector(aiohttp.TCPConnector):
    """Reuses no connection on which something lies that nobody asked for; tells which it reused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[Any] = WeakSet()

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        """A connection, new or reused: the next that comes over it answers the next request."""
        while True:
            found = await super().connect(*args, **kwargs)
            protocol = found.protocol
            if protocol is None or not protocol.should_close:
                _is_reused.set(protocol in self._used)
                self._used.add(protocol)
                return found
            found.close()


class Connections:
    """A session of aiohttp, and the sockets that it has open.

    With a gate, no socket is made for an address that the gate denies, whoever asks: the address is
    looked at where it goes into connect(2). Without one it is for what an operator has allowed, and
    no connection of the one is ever used by the other.
    """

    def __init__(
        self, *, resolve: Resolve, gate: Callable[[], Gate] | None, most: int, tls: Any = None
    ) -> None:
        self._gate, self._most = gate, most
        self._sockets: set[socket.socket] = set()
        connector = Connector(
            limit=0,
            resolver=Vetted(resolve, gate),
            use_dns_cache=False,
            keepalive_timeout=KEEP_IDLE,
            socket_factory=self._new_socket,
            ssl=tls if tls is not None else True,
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            requote_redirect_url=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
            read_bufsize=65_536,
        )
        self.session._retry_connection = False  # it has no parameter; we decide what is sent twice

    @property
    def may_keep(self) -> bool:
        """Whether one more may be kept for the next call."""
        if len(self._sockets) < self._most:
            return True
        self._sockets = {each for each in self._sockets if each.fileno() != -1}
        return len(self._sockets) < self._most

    async def close(self) -> None:
        """Close all that is idle."""
        await self.session.close()

    def _new_socket(self, info: Any) -> socket.socket:
        family, kind, protocol, _, target = info
        if self._gate is not None:
            why = self._gate().why_not(ip_address(target[0]))
            if why is not None:
                raise DeniedAddress(errno.EACCES, f"{target[0]} is {why}")
        made = socket.socket(family=family, type=kind, proto=protocol)
        self.may_keep  # noqa: B018 - forgets those that are closed
        self._sockets.add(made)
        return made
