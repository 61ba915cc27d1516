"""A worker inside a web application: URL jobs are pushed to it, and it runs the tasks they name."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from howdah import signature
from howdah.errors import BadInput, UnknownTask
from howdah.job import MAX_ARGS
from howdah.outcome import Cancelled, Failed, Outcome, Succeeded
from howdah.rows import Claimed
from howdah.signature import WINDOW, BadSignature, Signed
from howdah.urls import RUNS_FOR

if TYPE_CHECKING:
    from howdah.app import App

Scope = MutableMapping[str, Any]
Asgi = Callable[..., Awaitable[Any]]


class Push(msgspec.Struct, frozen=True):
    """What is pushed: a task's name, and its arguments."""

    task: str
    args: msgspec.Raw = msgspec.Raw(b"{}")


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def receive(
    app: App, *, secret: str | Sequence[str], window: float = WINDOW, max_body: int = MAX_ARGS
) -> Receiver:
    """A web application that runs the app's tasks for those who sign with the secret.

    Mount it: it is an ASGI application, and its `wsgi` a WSGI one. `app.http.push(job, url)` makes
    the jobs that call it. Several secrets may be given, while one takes the place of another. A
    request that is sent again is refused; what was accepted is remembered by this process, for
    twice the window (seconds by which the clocks may differ).
    """
    secrets = [secret] if isinstance(secret, str) else [*secret]
    if not secrets or not all(secrets):
        raise BadInput(
            "a receiver without a secret would run tasks for everybody",
            hint='Give one: howdah.receive(app, secret=os.environ["HOWDAH_SECRET_PUSH"]).',
        )
    return Receiver(app, secrets, window, max_body)


class Receiver:
    """Verifies, runs, and answers. Made by `howdah.receive`."""

    def __init__(self, app: App, secrets: Sequence[str], window: float, max_body: int) -> None:
        self._app, self._secrets, self._window, self._max_body = app, secrets, window, max_body
        self._seen: dict[str, float] = {}  # tokens, in the order of when they may be forgotten
        self._guard = threading.Lock()  # a WSGI server has many threads

    async def __call__(self, scope: Scope, receive: Asgi, send: Asgi) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"a receiver answers HTTP, not {scope['type']}")
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        body = await self._body(receive)
        answer = _TOO_LARGE if body is None else await self.handle(scope["method"], headers, body)
        raw = [(k.lower().encode(), v.encode("latin-1")) for k, v in _headers(answer)]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    def wsgi(
        self, environ: Mapping[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """As WSGI has it."""
        headers = {
            key.removeprefix("HTTP_").replace("_", "-"): value
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        length = str(environ.get("CONTENT_LENGTH") or "0")
        size = int(length) if length.isascii() and length.isdigit() else 0
        if size > self._max_body:
            answer = _TOO_LARGE
        else:
            body = environ["wsgi.input"].read(size)
            answer = asyncio.run(self.handle(environ["REQUEST_METHOD"], headers, body))
        start_response(f"{answer.status} {_phrase(answer.status)}", list(_headers(answer)))
        return [answer.body]

    async def handle(self, method: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What to answer to a request, for frameworks that are neither."""
        if method != "POST":
            return _said(405, "push with POST")
        try:
            signed = signature.verify(headers, body, self._secrets, window=self._window)
        except BadSignature as error:
            return _said(401, error.message)
        if not self._is_new(signed.token):
            return _said(409, "this request was taken before")
        try:
            push = msgspec.json.decode(body, type=Push)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return _said(400, f"the body names no task: {error}")
        return await self._perform(push, signed)

    async def _perform(self, push: Push, signed: Signed) -> Reply:
        task = self._app.tasks.get(push.task)
        if task is None:
            return _said(404, UnknownTask(push.task).message)
        if task.connection is not None:
            return _said(422, f"{push.task} is transactional: a worker has to run it")
        options = task.defaults
        limit = None if options.no_timeout else options.timeout or RUNS_FOR
        outcome = await self._app.perform(
            Claimed(
                signed.job, uuid4(), options.queue or "default", push.task,
                bytes(push.args).decode(), 0, signed.attempt, 0, max(1, signed.attempt),
                None if limit is None else round(limit * 1000), "at_least_once", None, None, None,
            )
        )  # fmt: skip
        return _answered(outcome)

    def _is_new(self, token: str) -> bool:
        now = time.monotonic()
        with self._guard:
            while self._seen and next(iter(self._seen.values())) <= now:
                del self._seen[next(iter(self._seen))]
            if token in self._seen:
                return False
            self._seen[token] = now + 2 * self._window
            return True

    async def _body(self, receive: Asgi) -> bytes | None:
        """The whole body; None: it is too large."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b""
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                return None
            if not message.get("more_body"):
                return b"".join(parts)


def _answered(outcome: Outcome) -> Reply:
    """200 with the result; 422 for what failed for good; 503 for what is to be tried again."""
    if isinstance(outcome, Succeeded):
        return Reply(200, b'{"result":' + (outcome.result or "null").encode() + b"}")
    said = outcome.error or outcome.reason or outcome.kind
    if isinstance(outcome, Failed | Cancelled):
        return _said(422, said)
    after = str(math.ceil(outcome.retry_in or 0))
    return Reply(503, _said(503, said).body, (("Retry-After", after),))


def _said(status: int, error: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error": error}))


_TOO_LARGE = _said(413, "the body is too large")


def _headers(answer: Reply) -> list[tuple[str, str]]:
    return [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(answer.body))),
        *answer.headers,
    ]


def _phrase(status: int) -> str:
    from http import HTTPStatus

    return HTTPStatus(status).phrase


async def _live(receive: Asgi, send: Asgi) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
