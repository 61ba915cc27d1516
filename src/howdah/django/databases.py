"""An entry of DATABASES from a URL, or from the project's embedded PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from howdah import embedded
from howdah.errors import BadInput, NoDatabase
from howdah.hosts import address
from howdah.settings import plain_url

ENGINE = "django.db.backends.postgresql"


def database(url: str | None = None, *, root: Path | str | None = None) -> dict[str, Any]:
    """For settings.py: DATABASES = {"default": database()}.

    Of `url`, else of DATABASE_URL, else of the embedded PostgreSQL that `howdah db start` has
    started in the folder `root` (the current one, or one above it). Raises NoDatabase.
    """
    url = url or os.environ.get("DATABASE_URL")
    if url is None:
        server = embedded.running(embedded.project_root(None if root is None else Path(root)))
        if server is None:
            raise NoDatabase(
                "DATABASE_URL is not set, and the project has no embedded PostgreSQL running",
                hint="Set it to postgresql://user@host/database, or run: howdah db start",
            )
        url = server.dsn()
    return _entry(url)


def _entry(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(plain_url(url))
        hosts, ports = _places(parts.netloc.rpartition("@")[2])
    except ValueError as error:
        raise BadInput(
            "the URL of the database cannot be read; is something in it to be percent-encoded?",
            hint="Write a URL like postgresql://user@host/database.",
        ) from error
    if parts.scheme not in {"postgres", "postgresql"}:
        raise BadInput(
            f"a URL of {parts.scheme or 'no scheme'} does not lead to a PostgreSQL",
            hint="Write a URL like postgresql://user@host/database.",
        )
    query = dict(parse_qsl(parts.query))
    entry = {
        "ENGINE": ENGINE,
        "NAME": query.pop("dbname", "") or unquote(parts.path[1:]),
        "USER": query.pop("user", "") or unquote(parts.username or ""),
        "PASSWORD": query.pop("password", "") or unquote(parts.password or ""),
        "HOST": query.pop("host", "") or hosts,
        "PORT": query.pop("port", "") or ports,
    }
    return {**entry, "OPTIONS": query} if query else entry


def _places(authority: str) -> tuple[str, str]:
    """Hosts and ports as libpq takes them: of several with commas between."""
    found = [address(each, unquoted=True) for each in authority.split(",")]
    ports = [str(port or "") for _, port in found]
    return ",".join(host for host, _ in found), ",".join(ports) if any(ports) else ""
