"""The one parser of URLs: strict, so that no two programs read a URL of ours in two ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

from howdah.errors import BadInput

LONGEST = 8192  # characters
PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\\"<>^`{|}]|\s")
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An http or https URL in one form. `query` has its question mark; there is no fragment."""

    scheme: str
    host: str  # a name in ASCII, or an address
    port: int
    path: str
    query: str = ""
    literal: Address | None = None

    @property
    def origin(self) -> str:
        """Scheme, host, and the port if it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}{self.query}"

    @property
    def redacted(self) -> str:
        """As it may be logged: the origin, and a hash by which two can be told apart."""
        if self.path == "/" and not self.query:
            return f"{self.origin}/"
        mark = sha256(f"{self.path}{self.query}".encode()).hexdigest()[:8]
        return f"{self.origin}/…{mark}"

    def joined(self, location: str) -> Url:
        """Where a redirect leads; raises BadInput."""
        return parse(urljoin(str(self), location))


def parse(text: str) -> Url:
    """The URL, if it is one; raises BadInput with what is wrong."""
    if not text:
        raise BadInput("a URL job needs a URL")
    if len(text) > LONGEST:
        raise BadInput(f"Invalid URL: it is longer than {LONGEST} characters")
    if _FORBIDDEN.search(text):
        raise _invalid(text, "it holds characters that are to be percent-encoded")
    parts = _PARTS.fullmatch(text)
    if parts is None or parts[1].lower() not in PORTS:
        raise _invalid(text, "it must begin with https:// or http://")
    scheme, authority, path, query = parts[1].lower(), parts[2], parts[3], parts[4] or ""
    if "@" in authority:
        raise BadInput(
            "Invalid URL: a user name or password may not stand in it",
            hint='Send it in a header: {"authorization": {"secret": "name", "prefix": "Basic "}}.',
        )
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise _invalid(text, "it names no host, or a port that is none")
    try:
        host, literal = _host(found[1])
    except ValueError as error:
        raise _invalid(text, str(error)) from None
    port = PORTS[scheme] if found[2] is None else int(found[2])
    if not 1 <= port <= 65535:
        raise _invalid(text, "a port lies between 1 and 65535")
    return Url(
        scheme=scheme,
        host=host,
        port=port,
        path=_quoted(path) or "/",
        query=_quoted(query),
        literal=literal,
    )


_SAFE = "".join(chr(n) for n in range(0x21, 0x7F))


def _quoted(part: str) -> str:
    """With what is not ASCII percent-encoded; whatever else would have to be was refused."""
    return part if part.isascii() else quote(part, safe=_SAFE)


@lru_cache(1024)
def _host(written: str) -> tuple[str, Address | None]:
    """In one form, and the address if it is one; raises ValueError with what is wrong."""
    if written.startswith("["):
        try:
            address = IPv6Address(written[1:-1])
        except ValueError:
            raise ValueError("its host is no address") from None
        return str(address), address
    name = _ascii(written).lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # whoever resolves it may take it for an address
        try:
            number = IPv4Address(name)
        except ValueError:
            raise ValueError("an address is written as four decimal numbers") from None
        return str(number), number
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("its host is no name")
    return name, None


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    try:
        import idna

        return idna.encode(name, strict=True).decode()
    except (ImportError, UnicodeError):
        raise ValueError("its host is no name; write its xn-- form") from None


def _invalid(text: str, problem: str) -> BadInput:
    """What follows a question mark may be secret."""
    shown = text.partition("?")[0]
    shown = repr(shown if len(shown) <= 200 else f"{shown[:200]}…")
    return BadInput(f"Invalid URL {shown}: {problem}")
