"""Signatures of outgoing calls: HMAC-SHA256 over the moment, the job, a token, and the raw body.

The token belongs to one attempt and no other: who remembers those of the last minutes cannot be
taken in by a request that is sent again.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from howdah.errors import HowdahError

WINDOW = 300.0  # seconds by which the clocks of both sides may differ
SIGNATURE, JOB, TOKEN, ATTEMPT = (
    "Howdah-Signature", "Howdah-Job", "Howdah-Token", "Howdah-Attempt",
)  # fmt: skip
_TOKEN = re.compile(r"[0-9a-f]{32}")
_JOB = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ATTEMPT = re.compile(r"[0-9]{1,9}")
_SIGNATURE = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


class BadSignature(HowdahError):
    """The request was not signed with this secret, or not now, or was changed on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a signature vouches for, beside the body."""

    job: UUID
    token: str
    attempt: int
    at: int


def headers(
    secret: str, *, job: UUID, lease: UUID, attempt: int, body: bytes, now: float | None = None
) -> list[tuple[str, str]]:
    """The headers that sign a request."""
    at = int(time.time() if now is None else now)
    # A lease may be of several jobs, which were claimed together.
    token = sha256(b"howdah token " + lease.bytes + job.bytes).hexdigest()[:32]
    signature = _digest(secret, body, at, job, attempt, token)
    return [
        (JOB, str(job)),
        (ATTEMPT, str(attempt)),
        (TOKEN, token),
        (SIGNATURE, f"t={at},v1={signature}"),
    ]


def verify(
    given: Mapping[str, str],
    body: bytes,
    secret: str | Sequence[str],
    *,
    now: float | None = None,
    window: float = WINDOW,
) -> Signed:
    """Check a request's headers and raw body; raises BadSignature.

    Several secrets may be given, while one takes the place of another. Header names may be in any
    case. Remember the token of what was accepted for twice the window, and refuse it then.
    """
    found = {name.lower(): value for name, value in given.items()}
    signature = _SIGNATURE.fullmatch(found.get(SIGNATURE.lower(), ""))
    job, token = found.get(JOB.lower(), ""), found.get(TOKEN.lower(), "")
    attempt = found.get(ATTEMPT.lower(), "")
    shapes = ((_JOB, job), (_ATTEMPT, attempt), (_TOKEN, token))
    # Each in its shape: else the end of one could pass for the beginning of the next.
    if signature is None or not all(shape.fullmatch(text) for shape, text in shapes):
        raise BadSignature("the request is not signed")
    at = int(signature[1])
    secrets = [secret] if isinstance(secret, str) else [*secret]
    if not any(
        hmac.compare_digest(_digest(each, body, at, job, attempt, token), signature[2])
        for each in secrets
        if each
    ):
        raise BadSignature("the signature is not of this request and this secret")
    if abs((time.time() if now is None else now) - at) > window:
        raise BadSignature(f"the signature is more than {window:g} s old, or from the future")
    return Signed(job=UUID(job), token=token, attempt=int(attempt), at=at)


def _digest(secret: str, body: bytes, *told: object) -> str:
    signed = "".join(f"{each}." for each in told).encode() + body
    return hmac.new(secret.encode(), signed, sha256).hexdigest()
