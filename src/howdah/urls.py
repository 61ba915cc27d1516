"""URL jobs from Python: made, and waited for."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar, Unpack
from uuid import UUID

import msgspec

from howdah.answer import Answer
from howdah.arguments import encode
from howdah.call import Call
from howdah.durations import Duration, seconds
from howdah.errors import BadInput, JobCancelled, JobFailed, NotFound, no_job
from howdah.http import store
from howdah.http.request import check, read_request
from howdah.job import After, Job, make_options
from howdah.keys import Keyed
from howdah.references import Reference

T = TypeVar("T")
HTTP = "http"  # the task, and its queue
TIMEOUT = 30  # seconds of an attempt
LONGEST = 86_400  # the same at most
RUNS_FOR = 60.0  # seconds of a task that says nothing else
Secret = Mapping[str, str]
HeaderValue = str | Secret | Sequence[str | Secret]
Statuses = Sequence[int | str]


class Asks(Protocol):
    """The app."""

    async def run(self, call: Call[T], /) -> T:
        """Run a call."""
        ...

    async def enqueue(self, job: Job, /) -> UUID:
        """Store a job."""
        ...

    async def result(self, job_id: UUID, /, timeout: Duration | None = None) -> Any:
        """Wait for a job's end."""
        ...


class Http:
    """Makes URL jobs for an app, and waits for their answers."""

    def __init__(self, app: Asks) -> None:
        self._app = app

    def job(
        self,
        method: str,
        url: str | Reference,
        *,
        json: Any = msgspec.UNSET,
        data: Any = msgspec.UNSET,
        form: Mapping[str, Any] | Reference | None = None,
        body: bytes | None = None,
        headers: Mapping[str, HeaderValue] | None = None,
        timeout: Duration = TIMEOUT,
        notify: bool = True,
        retry_on: Statuses | None = None,
        fail_on: Statuses | None = None,
        idempotent: bool | None = None,
        sign: str | None = None,
        max_response: int | None = None,
        redirects: int | None = None,
        queue: str = HTTP,
        priority: int | None = None,
        run_at: datetime | None = None,
        delay: Duration | None = None,
        max_attempts: int | None = None,
        delivery: str | None = None,
        id: UUID | None = None,  # noqa: A002 - the name of the contract
        unique_key: str | None = None,
        tags: list[str] | tuple[str, ...] | None = None,
        after: After | None = None,
        **keyed: Unpack[Keyed],
    ) -> Job:
        """A job that calls a URL; nothing has happened yet. Raises BadInput for what cannot be.

        Send `json` (`data` is what SQL calls it), a `form`, `body` bytes, or nothing. A header is
        text, {"secret": name, "prefix": "Bearer "}, or a list of these. `timeout` counts from when
        an attempt's connection is begun. Network errors and the statuses `retry_on` (429 and 503)
        are tried again, after Retry-After if the server says so; the statuses `fail_on` (500, or
        "5xx" for a whole hundred) fail the job, and all others are answers. `sign` names the secret
        to sign the request with. In a workflow `url`, `json` and `form` may be results of other
        steps. What is said of when and beside what it runs is said as with any task's `options`.
        """
        _check_kinds(method, body, headers)
        if delivery == "transactional":
            raise BadInput("a URL job cannot be transactional", hint="Use at_least_once.")
        args = {
            "method": method.upper(),
            "url": url,
            "json": _either(json, data),
            "form": form,
            "base64": None if body is None else base64.b64encode(body).decode(),
            "headers": headers,
            "retry_on": _statuses(retry_on),
            "fail_on": _statuses(fail_on),
            "idempotent": idempotent,
            "sign": sign,
            "max_response": max_response,
            "redirects": redirects,
            "notify": None if notify else False,
        }
        given = {
            name: value
            for name, value in args.items()
            if value is not msgspec.UNSET and (value is not None or name == "json")
        }
        if timeout is not None and seconds(timeout) > LONGEST:
            raise BadInput(
                "the timeout of a URL job is longer than a day", hint='Use at most "1d".'
            )
        text, references = _encoded(given)
        options = make_options(
            queue=queue, priority=priority, run_at=run_at, delay=delay, max_attempts=max_attempts,
            timeout=timeout, delivery=delivery, id=id, unique_key=unique_key, tags=tags,
            after=after, **keyed,
        )  # fmt: skip
        return Job(HTTP, text.decode(), options, references or None)

    def each(self, method: str = "GET", **options: Any) -> Each:
        """For `Workflow.map`: a job for each URL, with the options of `job`.

        `Workflow("crawl").map("pages", app.http.each("GET", timeout=5), urls)`, where the URLs may
        be a result of another step.
        """
        return Each(self, method, options)

    def push(self, job: Job, url: str, *, sign: str, **options: Any) -> Job:
        """A job that has a web application run a job: what `howdah.receive` serves, at this URL.

        `sign` names the worker's secret. Options are those of `job`; without them the job keeps its
        own, but for its queue. What the application fails is failed; what it wants to be tried
        again, is.
        """
        if job.references:
            raise BadInput(
                f"a job of {job.task} that waits for results cannot be pushed",
                hint="Have a step enqueue it once they are known.",
            )
        own = job.options
        args = msgspec.Raw(job.args.encode())
        chosen: dict[str, Any] = {
            "fail_on": ["3xx", "4xx", "5xx"],
            "idempotent": True,
            "redirects": 0,
            # Longer than the application tries: what is cut off here would go on there.
            "timeout": LONGEST if own.no_timeout else min(LONGEST, (own.timeout or RUNS_FOR) + 5),
            "delivery": own.delivery,
        }
        made = self.job(
            "POST", url, json={"task": job.task, "args": args}, sign=sign, **chosen | options
        )
        return msgspec.structs.replace(made, options=made.options.over(own))

    async def call(
        self,
        url: str,
        *,
        method: str | None = None,
        wait: Duration | None = None,
        **options: Any,
    ) -> Answer:
        """Have a worker call a URL; gives what was answered. Options are those of `job`.

        Without a method it is GET, or POST where there is something to send. Raises JobFailed,
        JobCancelled, and TimeoutError after `wait`; the job goes on then.
        """
        sends = any(options.get(name) is not None for name in ("form", "body")) or any(
            options.get(name, msgspec.UNSET) is not msgspec.UNSET for name in ("json", "data")
        )
        job = self.job(method or ("POST" if sends else "GET"), url, **options)
        return await self.answer(await self._app.enqueue(job), timeout=wait)

    async def answer(self, job_id: UUID, timeout: Duration | None = None) -> Answer:
        """Wait for the end of a URL job; gives what was answered. Raises as `call` does."""
        try:
            await self._app.result(job_id, timeout)
        except NotFound:  # its queue may keep no history
            await asyncio.sleep(0)
        return answered(job_id, await self._app.run(store.answer(job_id)))


class Each:
    """Makes URL jobs of URLs, as a task makes jobs of items."""

    name = HTTP

    def __init__(self, http: Http, method: str, options: Mapping[str, Any]) -> None:
        self._http, self._method, self._options = http, method, options

    def item_job(self, item: Any) -> Job:
        """The job of a URL."""
        return self._http.job(self._method, item, **self._options)

    def template(self) -> Job:
        """A job that has no URL yet."""
        job = self.item_job(Reference("step", "", (), by_task=False))
        return msgspec.structs.replace(job, references=None)

    def first_argument(self) -> str:
        """What an item becomes."""
        return "url"


def answered(job_id: UUID, ended: store.Ended | None) -> Answer:
    """The answer of a job that has ended; raises NotFound, JobFailed or JobCancelled."""
    if ended is None:
        raise no_job(job_id)
    if ended.state == "failed":
        result = None if ended.answer is None else {"status": ended.answer.status}
        raise JobFailed(job_id, ended.error, result)
    if ended.state == "cancelled":
        raise JobCancelled(job_id, ended.error)
    if ended.answer is None:
        raise NotFound(f"no answer is kept of job {job_id}", hint=f"It is {ended.state}.")
    return ended.answer


_STAND_INS: dict[str, Any] = {"url": "https://example.org/", "json": None, "form": {}}


def _encoded(given: Mapping[str, Any]) -> tuple[bytes, dict[str, Reference]]:
    """The arguments, checked; and those that are results of other steps, which come later."""
    references = {name: each for name, each in given.items() if isinstance(each, Reference)}
    if strange := references.keys() - _STAND_INS:
        raise BadInput(
            f"{min(strange)} of a URL job cannot be the result of a step",
            hint="url, json and form can.",
        )
    text = encode(HTTP, {name: each for name, each in given.items() if name not in references})
    whole = {**given, **{name: _STAND_INS[name] for name in references}}
    check(read_request(encode(HTTP, whole) if references else text)[0])
    return text, references


def _check_kinds(method: object, body: object, headers: object) -> None:
    """Of what would be taken for something else, or not at all."""
    if not isinstance(method, str):
        raise BadInput(f"a method is text, got {method!r}", hint='Give for example "GET".')
    if not isinstance(body, bytes | bytearray | memoryview | None):
        raise BadInput(
            f"a body is bytes, got a {type(body).__name__}",
            hint="Give text.encode(), or what is to be sent as JSON: json=….",
        )
    if isinstance(headers, Mapping) and any(isinstance(each, bytes) for each in headers.values()):
        raise BadInput("a header is text, got bytes", hint="Give value.decode().")


def _either(json: Any, data: Any) -> Any:
    if json is not msgspec.UNSET and data is not msgspec.UNSET:
        raise BadInput("json and data are the same: give one of them")
    return data if json is msgspec.UNSET else json


def _statuses(given: Statuses | None) -> list[int] | None:
    """Numbers; "5xx" is 5, which stands for the whole hundred."""
    if given is None:
        return None
    if isinstance(given, str | int):
        raise BadInput(f"{given!r} is no list of statuses", hint=f"Give [{given!r}].")
    found = []
    for each in given:
        text = str(each).lower()
        text = text.removesuffix("xx") if text.endswith("xx") and len(text) == 3 else text
        if not (text.isascii() and text.isdigit()):
            raise BadInput(f"{each!r} is no status", hint='Write for example [404, "5xx"].')
        found.append(int(text))
    return found
