"""Runs URL jobs: one event loop, pooled connections, and never more calls than files allow."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from howdah.context import MEMBER
from howdah.durations import seconds
from howdah.errors import BadInput, DatabaseError, HowdahError
from howdah.hosts import several_hosts
from howdah.http.breaker import Breaker
from howdah.http.gate import Gate, NotAllowed, Target
from howdah.http.policy import Verdict, retry_after, verdict
from howdah.http.request import Request, read_request
from howdah.http.room import MOST, in_flight
from howdah.http.secrets import Secrets
from howdah.http.url import Url
from howdah.jobs import storable
from howdah.outcome import Failed, Outcome, Released, Retrying, Snoozed, Succeeded
from howdah.settings import Settings
from howdah.urls import HTTP, LONGEST
from howdah.worker.handed import handed_on

if TYPE_CHECKING:
    from howdah.answer import Answer
    from howdah.http.address import Address
    from howdah.http.connections import Lookups, Resolve
    from howdah.worker.attempt import Attempt
    from howdah.worker.slots import Slots

LOOK_EVERY = 5.0  # seconds that a list of what is allowed is good for
LOOK_AGAIN = 0.5  # the same before something is refused: it may just have been allowed


@dataclass(slots=True)
class _Host:
    """Room for the calls of one host; `users` have it or wait for it."""

    room: asyncio.Semaphore
    users: int = 0


class Urls:
    """Attempts URL jobs, `size` at once. `ask` gives what an operator has allowed."""

    def __init__(
        self, settings: Settings, size: int, ask: Callable[[], Awaitable[Sequence[Target]]]
    ) -> None:
        self._settings, self._size, self._ask = settings, size, ask
        self._gate = Gate(public=settings.http_public)
        self._looked_at = -LOOK_EVERY
        self._looking = asyncio.Lock()
        self._breaker = Breaker(settings.http_breaker)
        self._hosts: dict[str, _Host] = {}
        self._caller: Any = None
        self._lookups: Lookups | None = None
        self.resolve: Resolve | None = None  # instead of the system's
        self.secrets = Secrets()
        self.tls: Any = None  # an SSLContext, instead of the usual one

    async def open(self) -> None:
        """Learn where the database is; raises BadInput without the HTTP library."""
        try:
            from howdah.http.calling import Caller
            from howdah.http.connections import Lookups
        except ImportError as error:
            raise BadInput(
                f"URL jobs need {error.name}, which is not installed",
                hint='Run: pip install "howdah[http]"',
            ) from error
        self._lookups = Lookups()
        resolve = self.resolve or self._lookups
        reserved = await addresses_of(self._settings.database_url, resolve)
        if self._settings.listen_url is not None:  # the database itself, behind its pooler
            reserved |= await addresses_of(self._settings.listen_url, resolve)
        self._gate = Gate(public=self._settings.http_public, reserved=reserved)
        self._caller = Caller(
            gate=lambda: self._gate, resolve=resolve, secrets=self.secrets, size=self._size,
            tls=self.tls,
        )  # fmt: skip

    async def close(self) -> None:
        """Close all connections."""
        caller, self._caller = self._caller, None
        if caller is not None:
            await caller.close()
        if self._lookups is not None:
            self._lookups.close()

    async def run(self, attempt: Attempt) -> Outcome:
        """What came of it; its time counts from when its connection is begun."""
        try:
            request, url = read_request(attempt.job.args)
        except BadInput as error:
            return attempt.end(Failed, error=storable(str(error)), reason="bad arguments")
        attempt.wait()
        async with self._room(url):
            if not await self._look(LOOK_EVERY):
                return attempt.end(Released, reason="released")
            began = time.monotonic()
            if (rest := self._breaker.wait(url.origin, began)) is not None:
                return _left_alone(attempt, url, rest)
            attempt.begin(at_most=LONGEST)
            try:
                answer = await self._called(attempt, request, url)
            except asyncio.CancelledError:
                if attempt.stopping == "timeout":
                    self._breaker.failed(url.origin, time.monotonic())
                return attempt.stopped()
            except HowdahError as error:
                return self._failed(attempt, url, error)
            finally:
                self._breaker.ended(url.origin, began)
        self._breaker.answered(url.origin)
        return self._judged(attempt, request, url, answer)

    async def _called(self, attempt: Attempt, request: Request, url: Url) -> Answer:
        job = attempt.job
        once = job.delivery == "at_most_once"
        call = partial(
            self._caller.call, request, url, job=job.id, lease=job.lease, attempt=job.attempt,
            once=once,
        )  # fmt: skip
        try:
            answer: Answer = await call()
        except NotAllowed as error:  # unless it was allowed a moment ago
            await self._look(LOOK_AGAIN)
            if not self._gate.is_listed(error.url) or (once and error.url != url):
                raise
            answer = await call()
        return answer

    def _failed(self, attempt: Attempt, url: Url, error: HowdahError) -> Outcome:
        from howdah.http.calling import NetworkError

        said = storable(str(error))
        if isinstance(error, NetworkError):
            self._breaker.failed(url.origin, time.monotonic())
            return _again(attempt, said)
        reason = "not allowed" if isinstance(error, NotAllowed) else "error"
        return attempt.end(Failed, error=said, reason=reason)

    def _judged(self, attempt: Attempt, request: Request, url: Url, answer: Answer) -> Outcome:
        status = answer.status
        result = _result(attempt, answer)
        decided = verdict(request, status)
        if decided is Verdict.SUCCEEDED:
            return attempt.end(Succeeded, result=result, answer=answer)
        said = f"{request.method} {url.redacted} answered {status}{_phrase(status)}"
        if decided is Verdict.FAILED:
            return attempt.end(Failed, result=result, error=said, reason="error", answer=answer)
        assert attempt.task is not None
        longest = seconds(attempt.task.retry.longest)
        asked = retry_after(answer.header("retry-after"), datetime.now(UTC), longest)
        return _again(attempt, said, asked, answer)

    def _room(self, url: Url) -> AbstractAsyncContextManager[Any]:
        """Room for one more call of this host."""
        limit = self._settings.http_per_host
        return nullcontext() if limit is None else self._room_of(url.host, limit)

    @asynccontextmanager
    async def _room_of(self, host: str, limit: int) -> AsyncIterator[None]:
        """A host is remembered for as long as somebody calls it, or waits for that."""
        found = self._hosts.setdefault(host, _Host(asyncio.Semaphore(limit)))
        found.users += 1
        try:
            async with found.room:
                yield
        finally:
            found.users -= 1
            if not found.users:
                del self._hosts[host]

    async def _look(self, good_for: float) -> bool:
        """Have a list of what is allowed, not older than that; False: there has never been one.

        While the database is away the last one serves.
        """
        if time.monotonic() - self._looked_at < good_for:
            return True
        async with self._looking:
            if time.monotonic() - self._looked_at < good_for:
                return True
            try:
                allowed = await self._ask()
            except (DatabaseError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return self._looked_at > 0
            self._gate = Gate(
                allowed=tuple(allowed), public=self._gate.public, reserved=self._gate.reserved
            )
            self._looked_at = time.monotonic()
        return True


def _left_alone(attempt: Attempt, url: Url, rest: float) -> Outcome:
    """Not called, and not charged: it comes back a little after the rest is over."""
    said = f"{url.origin} has not answered many times in a row, and is left alone for now"
    later = rest * random.uniform(1.0, 1.2)
    return attempt.end(Snoozed, error=said, reason="no answers", retry_in=later)


def _result(attempt: Attempt, answer: Answer) -> str:
    """The status; in a workflow, what other steps may want to have."""
    if (attempt.job.hooks or 0) & MEMBER:
        return handed_on(attempt.job.id, answer)
    return f'{{"status":{answer.status}}}'


def _again(
    attempt: Attempt, said: str, asked: float | None = None, answer: Answer | None = None
) -> Outcome:
    assert attempt.task is not None
    delay = attempt.task.retry.delay(attempt.job.failures) if asked is None else asked
    return attempt.end(Retrying, error=said, reason="error", retry_in=delay, answer=answer)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


async def addresses_of(database_url: str | None, resolve: Resolve) -> frozenset[Address]:
    """Where the database is: no URL job is to talk to it."""
    try:
        parts, environ = urlsplit(database_url or ""), os.environ
        asked = parse_qs(parts.query)
        hosts = [host for host, _ in several_hosts(database_url or "")] or [
            parts.hostname or asked.get("host", [""])[-1] or environ.get("PGHOST", "")
        ]
        hosts += [*asked.get("hostaddr", [""])[-1].split(","), environ.get("PGHOSTADDR", "")]
    except ValueError:
        return frozenset()
    found: set[Address] = set()
    for host in hosts:
        if not host or host.startswith(("/", "@")):
            continue
        try:
            found.add(ip_address(host))
        except ValueError:
            try:
                found.update(await resolve(host, 5432))
            except OSError:
                continue
    return frozenset(found)


def urls_at_once(groups: Sequence[Slots], settings: Settings, slots: int | None) -> int:
    """How many URLs a worker calls at once: as it was told, and as far as files go."""
    own = next((group.size for group in groups if group.queues == (HTTP,)), None)
    return in_flight(own or settings.http_slots or slots or MOST)
