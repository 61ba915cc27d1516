"""Secrets by reference: a job names one, the worker knows it, and where it may be sent.

HOWDAH_SECRET_STRIPE=sk_… and HOWDAH_SECRET_STRIPE_FOR=https://api.stripe.com (several: separated
by blanks); or, in the folder that HOWDAH_SECRETS names, the files `stripe` and `stripe.for`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from howdah.errors import BadInput
from howdah.http.url import Url, parse


class Secrets:
    """Looks a secret up whenever it is needed, so that a new file is seen at once."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def key(self, name: str) -> str:
        """The secret itself, to sign with; raises BadInput if this worker has none of that name."""
        found = self._look_up(name, "", "")
        if not found:
            raise BadInput(
                f"this worker knows no secret {name!r}",
                hint=f"Set {_variable(name)}, or put a file {name} into the folder HOWDAH_SECRETS.",
            )
        return found

    def to_sign(self, name: str, url: Url) -> str:
        """The secret to sign a request with: to anywhere, unless it says where it may go."""
        return self.to_send(name, url) if self._origins(name) else self.key(name)

    def _origins(self, name: str) -> list[str]:
        return [parse(text).origin for text in self._look_up(name, "_FOR", ".for").split()]

    def to_send(self, name: str, url: Url) -> str:
        """The secret, if it may be sent there; raises BadInput."""
        secret = self.key(name)
        if url.origin not in self._origins(name):
            raise BadInput(
                f"the secret {name!r} may not be sent to {url.origin}",
                hint=f"Name the origins that may have it: {_variable(name)}_FOR={url.origin}",
            )
        return secret

    def _look_up(self, name: str, suffix: str, extension: str) -> str:
        if (found := self._environ.get(_variable(name) + suffix)) is not None:
            return found.strip()
        folder = self._environ.get("HOWDAH_SECRETS")
        if not folder:
            return ""
        try:
            return (Path(folder) / f"{name}{extension}").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""


def _variable(name: str) -> str:
    return f"HOWDAH_SECRET_{name.upper().replace('-', '_')}"
