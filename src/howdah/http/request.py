"""What a URL job is to send: read from its arguments, checked again, never trusted."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import urlencode

import msgspec

from howdah.errors import BadInput
from howdah.http.secrets import Secrets
from howdah.http.url import Url, parse

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
MAX_BODY = 1_048_576  # bytes of a request
MAX_RESPONSE = 8 * 1_048_576  # bytes of a response, unpacked, unless the job says otherwise
REDIRECTS = 3
RETRY_ON = (429, 503)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = re.compile(
    r"host|content-length|transfer-encoding|connection|keep-alive|proxy-.*|te|trailer|upgrade|"
    r"expect|accept-encoding|content-encoding|http2-settings|howdah-.*"
)
_SECRET = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
A_NAME = "letters, digits, _ and -, 60 at most"


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret by its name; `prefix` stands before it."""

    secret: str
    prefix: str = ""


Value = str | Reference | list[str | Reference]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of a URL job."""

    url: str
    method: str = "GET"
    json: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    form: dict[str, Any] | None = None
    base64: str | None = None
    headers: dict[str, Value] = {}
    retry_on: tuple[int, ...] = RETRY_ON
    fail_on: tuple[int, ...] = ()
    idempotent: bool | None = None
    sign: str | None = None
    max_response: int = MAX_RESPONSE
    redirects: int = REDIRECTS
    notify: bool = True

    @property
    def may_repeat(self) -> bool:
        """Whether a failure may be tried again: as the caller says, else as the method does."""
        return self.method in IDEMPOTENT if self.idempotent is None else self.idempotent

    @property
    def body(self) -> tuple[bytes | None, str | None]:
        """What is sent, and its type."""
        if self.json is not msgspec.UNSET:
            return msgspec.json.format(bytes(self.json), indent=-1), "application/json"
        if self.form is not None:
            return _form(self.form), "application/x-www-form-urlencoded"
        if self.base64 is not None:
            return base64.b64decode(self.base64, validate=True), "application/octet-stream"
        return None, None

    def headers_for(self, url: Url, secrets: Secrets) -> list[tuple[str, str]]:
        """Names and values, in order; raises BadInput for a secret that may not be sent there."""
        made = []
        for name, given in self.headers.items():
            for one in given if isinstance(given, list) else [given]:
                if isinstance(one, str):
                    value = one
                else:
                    value = f"{one.prefix}{secrets.to_send(one.secret, url)}"
                made.append((name, _clean(name, value)))
        return made


_DECODER = msgspec.json.Decoder(Request)


def read_request(args: str | bytes) -> tuple[Request, Url]:
    """The request and where it goes; raises BadInput, which says what is wrong."""
    try:
        request = _DECODER.decode(args)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadInput(f"no arguments of a URL job: {error}") from error
    url = parse(request.url)
    check(request)
    return request, url


def check(request: Request) -> None:
    """Raises BadInput for what no URL job may ask for."""
    if request.method not in METHODS:
        raise BadInput(f"method {request.method!r} is not {', '.join(METHODS)}")
    bodies = (request.json is not msgspec.UNSET, request.form is not None,
              request.base64 is not None)  # fmt: skip
    if sum(bodies) > 1:
        raise BadInput("a request has one body: JSON, a form, or bytes")
    if any(bodies) and request.method in {"GET", "HEAD"}:
        raise BadInput(f"a {request.method} request has no body")
    for name, given in request.headers.items():
        for one in given if isinstance(given, list) else [given]:
            check_header(name, one)
    if request.sign is not None:
        _check_secret(request.sign)
    for status in (*request.retry_on, *request.fail_on):
        if not (1 <= status <= 5 or 100 <= status <= 599):
            raise BadInput(
                f"{status} is no status", hint="They lie between 100 and 599; 5 means 500 to 599."
            )
    if not 0 <= request.max_response <= 8 * MAX_RESPONSE or not 0 <= request.redirects <= 10:
        raise BadInput("max_response is at most 64 MiB, redirects are at most 10")
    try:
        body, _ = request.body
    except BadInput:  # of a form
        raise
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"the body is no base64: {error}") from error
    if body is not None and len(body) > MAX_BODY:
        raise BadInput(f"the body has {len(body)} bytes, at most {MAX_BODY} are sent")


def check_header(name: str, value: str | Reference) -> None:
    """Raises BadInput for a header that is none, or not the caller's to set."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"header name {name!r} is none")
    if _OURS.fullmatch(name.lower()):
        raise BadInput(f"header {name} is not the caller's to set")
    if isinstance(value, Reference):
        _check_secret(value.secret)
        value = value.prefix
    _clean(name, value)


def _check_secret(name: str) -> None:
    if not _SECRET.fullmatch(name):
        raise BadInput("that cannot be the name of a secret", hint=f"Use {A_NAME}.")


def _clean(name: str, value: str) -> str:
    if _CONTROL.search(value):
        raise BadInput(f"header {name} holds control characters")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(f"header {name} cannot be encoded") from None
    return value


def _form(fields: dict[str, Any]) -> bytes:
    pairs = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str | int | float | bool):
                raise BadInput(
                    f"form field {name}: give text, a number, a truth, or a list of them"
                )
            pairs.append((name, str(one).lower() if isinstance(one, bool) else one))
    return urlencode(pairs).encode()
