"""What a server answered to a URL job."""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Status, headers in order with repeats kept, and the body, unpacked.

    Attributes:
        url: that answered, after redirects.
        duration: seconds, of the last attempt.
        attempts: how many it took.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    duration: float
    attempts: int
    url: str

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def text(self) -> str:
        """The body as UTF-8; what is none is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; raises ValueError for what is none."""
        return msgspec.json.decode(self.body)
