"""What a URL says: its hosts, of which the one that takes writes is looked for, and the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from howdah.errors import BadInput

_ADDRESS = re.compile(
    r"\[(?P<six>[^\]]+)\](?::(?P<six_port>\d+))?|(?P<name>[^:]*)(?::(?P<port>\d+))?"
)


_LIBPQ_ALONE = {  # what asyncpg does not know, and would ask the server to set
    "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
    "tcp_user_timeout", "channel_binding", "gssencmode", "sslcompression", "sslnegotiation",
    "require_auth", "requirepeer", "load_balance_hosts", "fallback_application_name",
}  # fmt: skip


def for_asyncpg(url: str) -> str:
    """The URL without what only libpq understands; refuses what may not be left out in silence."""
    path, mark, query = url.partition("?")
    if not mark:
        return url
    said = query.split("&")
    if unsafe := next((each for each in said if each in _NOT_WITHOUT), None):
        raise BadInput(
            f"the database's URL asks for {unsafe}, which asyncpg cannot do",
            hint="Leave it out, and say sslmode=verify-full, which makes sure of the server too.",
        )
    kept = [each for each in said if each.partition("=")[0] not in _LIBPQ_ALONE]
    return path + (f"?{'&'.join(kept)}" if kept else "")


_NOT_WITHOUT = {"channel_binding=require", "gssencmode=require"}


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
