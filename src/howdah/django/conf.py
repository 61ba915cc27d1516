"""HOWDAH in Django's settings, and DATABASES, as the settings of an App."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connections

from howdah.drivers.django import alias
from howdah.errors import BadInput
from howdah.settings import Settings

OWN = "database"  # which of DATABASES; all other names are those of Settings
NAMES = frozenset(field.name for field in fields(Settings))
# What libpq and asyncpg both understand.
PASSED = (
    "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "passfile", "service",
    "target_session_attrs",
)  # fmt: skip


def said() -> dict[str, Any]:
    """HOWDAH with names in lower case; raises BadInput for a name that is none of ours."""
    found = {name.lower(): value for name, value in getattr(settings, "HOWDAH", {}).items()}
    strange = sorted({*found} - NAMES - {OWN})
    if strange:
        known = ", ".join(sorted(name.upper() for name in {*NAMES, OWN}))
        raise BadInput(
            f"HOWDAH in Django's settings: there is no setting {strange[0].upper()!r}",
            hint=f"Settings are {known}.",
        )
    return found


def schema() -> str:
    """The name of the contract's schema."""
    return str(said().get("schema") or "howdah")


def arguments() -> dict[str, Any]:
    """What an App, or a command, takes; the database is Django's own."""
    found = said()
    found.pop(OWN, None)
    if found.get("database_url") is None:
        found["database_url"] = url_of(connection())
    return {"schema": schema(), **found}


def connection() -> Any:
    """This thread's connection to the database of the jobs; raises BadInput if it is not ours."""
    name = alias()
    if name not in connections:
        raise BadInput(
            f"HOWDAH in Django's settings: DATABASES has no {name!r}",
            hint=f"DATABASES has {', '.join(connections)}.",
        )
    found = connections[name]
    if found.vendor != "postgresql":
        raise BadInput(
            f"Django's {name} database is {found.vendor}, and jobs need PostgreSQL",
            hint="Use PostgreSQL there; or, if another of DATABASES is one, say which: "
            'HOWDAH = {"DATABASE": "its name"}.',
        )
    return found


def url_of(connection: Any) -> str:
    """The address of Django's database, the test database during tests."""
    told: Mapping[str, Any] = connection.settings_dict
    options: Mapping[str, Any] = told.get("OPTIONS") or {}
    asked = {name: str(options[name]) for name in PASSED if name in options}
    for name in ("host", "port"):
        if told.get(name.upper()):
            asked[name] = str(told[name.upper()])
    who = quote(str(told.get("USER") or ""), safe="")
    if told.get("PASSWORD"):
        who += ":" + quote(str(told["PASSWORD"]), safe="")
    database = quote(str(told.get("NAME") or ""), safe="")
    query = f"?{urlencode(asked, quote_via=quote)}" if asked else ""
    return f"postgresql://{who}{'@' if who else ''}/{database}{query}"
