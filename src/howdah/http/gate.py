"""The gate: decides for a URL, and for each address that its name has, whether it may be called."""

from __future__ import annotations

import socket
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import unquote

from howdah.errors import HowdahError
from howdah.http.address import Address, denied, unwrapped
from howdah.http.url import PORTS, Url

DECODED = 4  # times that a server may decode a path at most


class NotAllowed(HowdahError):
    """A URL job may not call that; the hint is the command by which an operator can allow it."""

    def __init__(self, url: Url, why: str) -> None:
        allow = f"If it is to be called: howdah http allow {url.origin}/"
        super().__init__(f"{url.origin} may not be called: {why}", hint=allow)
        self.url, self.why = url, why


@dataclass(frozen=True, slots=True)
class Target:
    """What an operator has allowed: an origin, and the paths below one."""

    scheme: str
    host: str
    port: int
    path: str

    def covers(self, url: Url) -> bool:
        """Whether the URL lies there; a path that servers read in different ways does not."""
        return (
            (self.scheme, self.host, self.port) == (url.scheme, url.host, url.port)
            and f"{url.path}/".startswith(f"{self.path.rstrip('/')}/")
            and (self.path == "/" or _is_clear(url.path))
        )


def _is_clear(path: str) -> bool:
    """Whether no server can take the path for one that leads up, however often it decodes it."""
    *inner, last = path.split("/")[1:]
    return "" not in inner and all(_stays(part) for part in (*inner, last))


def _stays(part: str) -> bool:
    for _ in range(DECODED):
        plain = unicodedata.normalize("NFKC", part)  # so do some servers
        if {*plain} & {"/", "\\", "\x00", "\ufffd"}:
            return False
        named = plain.partition(";")[0]  # some drop what follows it
        if (named != plain and not named) or (named and not named.strip(". ")):
            return False
        decoded = unquote(part)
        if decoded == part:
            return True
        part = decoded
    return False


def is_own(address: Address) -> bool:
    """Whether it is this machine's: it would answer itself, from there. Sends nothing."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What may be called: the public internet, unless that is off, and what was allowed.

    `reserved` are addresses that only an operator's word opens: the database's.
    """

    allowed: Sequence[Target] = ()
    public: bool = True
    reserved: frozenset[Address] = frozenset()
    is_own: Callable[[Address], bool] = field(default=is_own)

    def is_listed(self, url: Url) -> bool:
        """Whether an operator has allowed it, wherever its name leads."""
        return any(target.covers(url) for target in self.allowed)

    def check(self, url: Url) -> None:
        """Of a URL that is not listed: raises NotAllowed for what needs no look-up."""
        if not self.public:
            raise NotAllowed(url, "it is not on the list, and http_public is off")
        if url.port not in PORTS.values():
            raise NotAllowed(url, f"port {url.port} is neither 80 nor 443")
        if url.literal is not None:
            self.check_addresses(url, [url.literal])

    def check_addresses(self, url: Url, addresses: Iterable[Address]) -> None:
        """Of a URL that is not listed: raises NotAllowed if any address of its name is denied."""
        for address in addresses:
            if (why := self.why_not(address)) is not None:
                raise NotAllowed(url, f"{address} is {why}")

    def why_not(self, address: Address) -> str | None:
        """Why this address may not be reached; None: it may."""
        address = unwrapped(address)
        if (why := denied(address)) is not None:
            return why
        if address in self.reserved:
            return "the database's"
        return "this machine's own" if self.is_own(address) else None
