"""Which hosts a URL names: of several the one that takes writes is looked for, one by one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

_ADDRESS = re.compile(
    r"\[(?P<six>[^\]]+)\](?::(?P<six_port>\d+))?|(?P<name>[^:]*)(?::(?P<port>\d+))?"
)


def several_hosts(
    url: str, environ: Mapping[str, str] | None = None
) -> list[tuple[str, int | None]]:
    """Host (or folder of a socket) and port of each host, if the URL, or PGHOST, names several.

    Empty where it names one or none: that is the driver's to read.
    """
    environ = os.environ if environ is None else environ
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    inside = parts.netloc.rpartition("@")[2]
    named = inside or asked.get("host", [""])[-1]
    if not named and "service" not in asked:
        named = environ.get("PGHOST", "")
    if "," not in named:
        return []
    hosts = [address(each, unquoted=bool(inside)) for each in named.split(",") if each]
    ports = (asked.get("port", [""])[-1] or environ.get("PGPORT", "")).split(",")
    return [
        (host, port or _port(ports[n] if len(ports) == len(hosts) else ports[0]))
        for n, (host, port) in enumerate(hosts)
    ]


def names_a_role(url: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether the URL or the environment says itself which of its hosts will do."""
    environ = os.environ if environ is None else environ
    query = parse_qs(urlsplit(url).query)
    return "target_session_attrs" in query or "PGTARGETSESSIONATTRS" in environ


def address(text: str, *, unquoted: bool) -> tuple[str, int | None]:
    """Host and port of one; `unquoted`: it stands in a URL. Raises ValueError."""
    if text.startswith("/"):
        return text, None
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError("a host of the URL cannot be read")
    host = found["six"] or found["name"]
    return unquote(host) if unquoted else host, _port(found["six_port"] or found["port"])


def _port(text: str | None) -> int | None:
    return int(text) if text else None
