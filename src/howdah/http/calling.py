"""Makes one call: through the gate, hop by hop, and takes no more of the answer than was asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from uuid import UUID

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from howdah import signature
from howdah.answer import Answer
from howdah.errors import BadInput, HowdahError
from howdah.http.connections import Connections, DeniedAddress, NoAddress, Resolve, was_reused
from howdah.http.gate import Gate, NotAllowed
from howdah.http.request import IDEMPOTENT, Request
from howdah.http.secrets import Secrets
from howdah.http.unpack import Body, BodyTooLarge, Broken
from howdah.http.url import Url

IDLE = 10.0  # seconds between two bytes of an answer that has begun
FOLLOWED = frozenset({301, 302, 303, 307, 308})
AGENT = f"howdah/{version('howdah')}"
_HARMLESS = frozenset({"accept", "accept-language", "content-type", "user-agent"})


class Hopeless(HowdahError):
    """The call failed, and would fail again."""


class NetworkError(HowdahError):
    """The call failed on its way; another one may not."""


class Hop:
    """One request of a call, as it goes from redirect to redirect."""

    def __init__(
        self, request: Request, url: Url, body: bytes | None, headers: list[tuple[str, str]]
    ) -> None:
        self.method, self.url, self.body, self.headers = request.method, url, body, headers
        self.by_list = True  # what an operator has allowed is not for strangers to redirect to

    def follow(self, status: int, location: str) -> None:
        """Go on where the server says; raises Hopeless where nobody may."""
        try:
            there = self.url.joined(location)
        except (BadInput, ValueError) as error:
            said = error.message if isinstance(error, BadInput) else str(error)
            raise Hopeless(
                f"{self.url.redacted} redirects to what may not be called: {said}"
            ) from error
        if self.url.scheme == "https" and there.scheme == "http":
            raise Hopeless(f"{self.url.redacted} redirects from https to http")
        elsewhere = there.origin != self.url.origin
        if status in {307, 308}:
            if elsewhere and self.body is not None:
                raise Hopeless(f"{self.url.redacted} redirects a body to {there.origin}")
        elif self.method not in {"GET", "HEAD"}:
            self.method, self.body = "GET", None
            self._strip(lambda name: name != "content-type" and not name.startswith("howdah-"))
        if elsewhere:
            self._strip(lambda name: name in _HARMLESS)
        self.url = there

    def _strip(self, keeps: Callable[[str], bool]) -> None:
        self.headers = [(name, value) for name, value in self.headers if keeps(name.lower())]


class Caller:
    """Calls URLs. `gate` is asked anew for each call; `size` is how many there are at once."""

    def __init__(
        self,
        *,
        gate: Callable[[], Gate],
        resolve: Resolve,
        secrets: Secrets,
        size: int,
        tls: Any = None,
    ) -> None:
        self._gate, self._secrets = gate, secrets
        self._public = Connections(resolve=resolve, gate=gate, most=size, tls=tls)
        self._listed = Connections(resolve=resolve, gate=None, most=size, tls=tls)

    async def close(self) -> None:
        """Close all connections."""
        await self._public.close()
        await self._listed.close()

    async def call(
        self,
        request: Request,
        url: Url,
        *,
        job: UUID,
        lease: UUID,
        attempt: int,
        once: bool = False,
    ) -> Answer:
        """What was answered. Raises Hopeless, NetworkError, NotAllowed or BadInput.

        With `once` nothing is sent a second time over another connection, where the first turns out
        to have been closed while it was idle.
        """
        hop = self._first(request, url, job=job, lease=lease, attempt=attempt)
        began = time.monotonic()
        try:
            for _ in range(request.redirects + 1):
                may_repeat = not once and hop.method in IDEMPOTENT
                answer = await self._ask(request, hop, began, attempt, may_repeat=may_repeat)
                location = answer.header("location")
                if request.redirects == 0 or answer.status not in FOLLOWED or location is None:
                    return answer
                hop.follow(answer.status, location)
        except NotAllowed as error:  # by the resolver, which knows the name alone
            raise NotAllowed(hop.url, error.why) from error
        except BodyTooLarge as error:
            raise Hopeless(f"{request.method} {hop.url.redacted}: {error}") from error
        except (OSError, aiohttp.ClientError, Broken, TimeoutError) as error:
            raise _judged(error, f"{request.method} {hop.url.redacted}") from error
        raise Hopeless(f"{url.redacted} redirects more than {request.redirects} times")

    def _first(self, request: Request, url: Url, *, job: UUID, lease: UUID, attempt: int) -> Hop:
        body, kind = request.body
        headers = request.headers_for(url, self._secrets)
        named = {name.lower() for name, _ in headers}
        if kind is not None and "content-type" not in named:
            headers.append(("Content-Type", kind))
        if "user-agent" not in named:
            headers.append(("User-Agent", AGENT))
        if "accept" not in named:
            headers.append(("Accept", "*/*"))
        if request.sign is not None:
            key = self._secrets.to_sign(request.sign, url)
            headers += signature.headers(
                key, job=job, lease=lease, attempt=attempt, body=body or b""
            )
        return Hop(request, url, body, headers)

    async def _ask(
        self, request: Request, hop: Hop, began: float, attempt: int, *, may_repeat: bool
    ) -> Answer:
        while True:
            try:
                return await self._ask_once(request, hop, began, attempt)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not (may_repeat and was_reused()):
                    raise

    async def _ask_once(self, request: Request, hop: Hop, began: float, attempt: int) -> Answer:
        gate, url = self._gate(), hop.url
        is_listed = gate.is_listed(url)
        if not is_listed:
            hop.by_list = False
        elif not hop.by_list:
            raise Hopeless(f"{url.origin} is on the list, but what redirects to it is not")
        through = self._listed if is_listed else self._public
        if not is_listed:
            gate.check(url)
            _check_clear_text(request, url)
        headers = CIMultiDict([*hop.headers, ("Accept-Encoding", "gzip, deflate")])
        if not through.may_keep:
            headers["Connection"] = "close"
        async with through.session.request(
            hop.method, URL(str(url), encoded=True), headers=headers, data=hop.body,
            allow_redirects=False,
        ) as response:  # fmt: skip
            if response.status < 100:  # the library takes any three digits
                raise Broken(f"{response.status} is no status")
            follows = (
                request.redirects and response.status in FOLLOWED and "Location" in response.headers
            )
            body = b"" if follows else await _read(response, request.max_response)
        return Answer(
            status=response.status,
            headers=tuple(_text(raw) for raw in response.raw_headers),
            body=body,
            duration=time.monotonic() - began,
            attempts=attempt,
            url=str(url),
        )


def _check_clear_text(request: Request, url: Url) -> None:
    """What is secret does not go over the public internet for all to read."""
    secrets = any(not isinstance(each, str) for each in request.headers.values())
    if url.scheme == "http" and secrets:
        raise Hopeless(f"{url.origin} is not https: no secret is sent there")


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = Body(limit, ", ".join(response.headers.getall("Content-Encoding", ())))
    content = response.content
    while not content.at_eof():
        if content.is_eof():  # all of it is here: nothing to wait for
            body.feed(content.read_nowait())
            continue
        async with asyncio.timeout(IDLE):
            body.feed(await content.readany())
    return body.done()


def _text(raw: tuple[bytes, bytes]) -> tuple[str, str]:
    """As PostgreSQL can hold it."""
    name, value = (part.decode("utf-8", "replace").replace("\x00", "\ufffd") for part in raw)
    return name, value


def _judged(error: Exception, what: str) -> HowdahError:
    """The error in words of ours: others' may quote the URL."""
    if (said := _hopeless(error)) is not None:
        return Hopeless(f"{what}: {said}"[:500])
    return NetworkError(f"{what}: {_network(error)}"[:500])


def _hopeless(error: Exception) -> str | None:
    if isinstance(inner := getattr(error, "os_error", error), DeniedAddress):
        return f"it may not be called: {inner.strerror}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        return f"the certificate is refused: {getattr(cause, 'verify_message', cause)}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"TLS failed: {error.os_error.strerror or error.os_error}"
    return None


def _network(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        if isinstance(inner, NoAddress):
            return str(inner)
        return f"cannot connect: {type(inner).__name__}: {inner.strerror or inner}"
    for kind, said in _WORDS:
        if isinstance(error, kind):
            return said
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError | Broken):
        return f"the answer makes no sense: {getattr(error, 'message', '') or error}"
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"


_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    (aiohttp.ServerTimeoutError, "no connection within 5 s"),
    (TimeoutError, f"the answer stopped for {IDLE:g} s"),
)
