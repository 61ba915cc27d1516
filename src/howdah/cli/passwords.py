"""Keeps passwords off the command line, where every user of the machine can read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from howdah.errors import BadInput

# A URL with a password in it, or libpq's keywords: an argument of its own, or an option's value.
_URL = re.compile(r"(--?[\w-]+=)?\w*postgres(ql)?(\+\w+)?://", re.IGNORECASE)
_IN_URL = re.compile(r"://[^/@:?]*:.*@|[?&]\w*password=.", re.IGNORECASE | re.DOTALL)
_KEYWORD = re.compile(r"(--?[\w-]+=)?(\w+\s*=\s*\S+\s+)*(--)?(pg)?password\s*=", re.IGNORECASE)


def refuse_passwords(arguments: Iterable[str]) -> None:
    """Raises BadInput, which does not quote it, where an argument holds a database's password."""
    for argument in arguments:
        if (_URL.match(argument) and _IN_URL.search(argument)) or _KEYWORD.match(argument):
            raise BadInput(
                "a password on the command line can be read by every user of this machine",
                hint="Put the URL into DATABASE_URL or HOWDAH_DATABASE_URL (that of --from into "
                "HOWDAH_IMPORT_FROM), or the password into PGPASSFILE (~/.pgpass); then change the "
                "password, for it may stand in a log.",
            )
