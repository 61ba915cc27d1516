"""A job before it is stored: a value, validated and typed; nothing has happened yet."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, Unpack
from uuid import UUID

import msgspec

from howdah.call import Call
from howdah.durations import TEN_YEARS, Duration, seconds
from howdah.errors import BadInput
from howdah.keys import Keyed, Keys, make_keys
from howdah.printable import discreet
from howdah.references import Reference

DELIVERIES = ("at_least_once", "at_most_once", "transactional")
MAX_ARGS = 1_048_576  # bytes
MAX_DEPTH = 64
MAX_BATCH = 10_000
MAX_HEADERS = 65_536  # bytes
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a job is to be run; None means what the task's declaration says, else the default.

    Durations are kept as seconds. `delay` counts from the enqueue; `run_at` must be aware of its
    time zone. `id` makes the enqueue idempotent; at most one unfinished job has a `unique_key`.
    """

    queue: str | None = None
    priority: int | None = None
    run_at: datetime | None = None
    delay: float | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    no_timeout: bool = False
    delivery: str | None = None
    id: UUID | None = None
    unique_key: str | None = None
    headers: dict[str, object] | None = None
    tags: tuple[str, ...] = ()
    keys: Keys | None = None
    after: tuple[tuple[UUID, str], ...] = ()  # jobs that have to end first; fail, skip, ignore

    def over(self, others: Options) -> Options:
        """These, and of the others what these do not say: but for the queue, headers and time."""
        said = {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if value != getattr(NO_OPTIONS, name)
        }
        if said.keys() & {"run_at", "delay"}:
            others = msgspec.structs.replace(others, run_at=None, delay=None)
        if self.keys is not None:
            said["keys"] = self.keys.over(others.keys)
        others = msgspec.structs.replace(
            others, queue=None, headers=None, timeout=None, no_timeout=False
        )
        return checked(msgspec.structs.replace(others, **said))

    def __repr__(self) -> str:
        return discreet(self)


NO_OPTIONS = Options()
After = Iterable[UUID] | Mapping[UUID, str]


class Job(msgspec.Struct, frozen=True):
    """A task's name, its arguments as one JSON object, and the options.

    `references` are arguments that a workflow fills in with results of other steps.
    """

    task: str
    args: str
    options: Options = NO_OPTIONS
    references: dict[str, Reference] | None = None

    def __repr__(self) -> str:
        return discreet(self)


class Startable(Protocol):
    """Several jobs that are stored as one: a workflow."""

    def start(self) -> Call[UUID]:
        """The call that stores it."""
        ...


_EITHER = (
    ("run_at", "delay"),
    ("delay", "run_at"),
    ("timeout", "no_timeout"),
    ("no_timeout", "timeout"),
)
_TYPES: dict[str, type] = {
    "queue": str,
    "priority": int,
    "run_at": datetime,
    "max_attempts": int,
    "delivery": str,
    "id": UUID,
    "unique_key": str,
    "headers": Mapping,
}


def make_options(
    base: Options = NO_OPTIONS,
    *,
    queue: str | None = None,
    priority: int | None = None,
    run_at: datetime | None = None,
    delay: Duration | None = None,
    max_attempts: int | None = None,
    timeout: Duration | None = None,
    no_timeout: bool = False,
    delivery: str | None = None,
    id: UUID | None = None,  # noqa: A002 - the name of the contract
    unique_key: str | None = None,
    headers: dict[str, object] | None = None,
    tags: list[str] | tuple[str, ...] | None = None,
    after: After | None = None,
    **keyed: Unpack[Keyed],
) -> Options:
    """Options over `base`, each checked where it enters; raises BadInput."""
    if tags is not None and (isinstance(tags, str) or not isinstance(tags, Iterable)):
        raise BadInput(f"tags must be a list, got {tags!r}", hint=f"Give [{tags!r}].")
    changes: dict[str, object] = {
        "queue": queue,
        "priority": priority,
        "run_at": run_at,
        "delay": None if delay is None else seconds(delay),
        "max_attempts": max_attempts,
        "timeout": None if timeout is None else seconds(timeout),
        "no_timeout": no_timeout or None,
        "delivery": delivery,
        "id": id,
        "unique_key": unique_key,
        "headers": headers,
        "tags": None if tags is None else tuple(tags),
        "after": None if after is None else make_after(after),
        "keys": None if (keys := make_keys(keyed)) is None else keys.over(base.keys),
    }
    given = {key: value for key, value in changes.items() if value is not None}
    for one, other in _EITHER:  # what is said later takes the place of its counterpart
        if one in given and other not in given:
            given[other] = getattr(NO_OPTIONS, other)
    return checked(msgspec.structs.replace(base, **given))


def make_after(after: After) -> tuple[tuple[UUID, str], ...]:
    """Which jobs have to end first, each with what is to happen if it fails; raises BadInput."""
    if isinstance(after, UUID) or not isinstance(after, Iterable):
        raise BadInput(f"after must be a list of job ids, got {after!r}", hint="Give [job_id].")
    found = after if isinstance(after, Mapping) else dict.fromkeys(after, "fail")
    for parent, policy in found.items():
        if not isinstance(parent, UUID) or policy not in {"fail", "skip", "ignore"}:
            raise BadInput(
                f"after: {parent!r}: {policy!r} cannot be waited for",
                hint='Give a list of job ids, or a dict of ids with "fail", "skip" or "ignore".',
            )
    return tuple(found.items())


def checked(options: Options) -> Options:
    """The options, if they can be stored; raises BadInput with what is wrong."""
    for name, kind in _TYPES.items():
        value = getattr(options, name)
        if value is not None and not isinstance(value, kind):
            raise BadInput(f"{name} must be of type {kind.__name__}, got {value!r}")
    if options.headers is not None and (wrong := _headers_flaw(options.headers)):
        raise BadInput(f"headers: {wrong}")
    for flaw, message, hint in _flaws(options):
        if flaw:
            raise BadInput(message, hint=hint)
    return options


def _flaws(o: Options) -> list[tuple[bool, str, str | None]]:
    return [
        (
            o.run_at is not None and o.run_at.tzinfo is None,
            f"run_at {o.run_at} has no time zone",
            "Give an aware datetime, for example datetime.now(UTC) + timedelta(minutes=5).",
        ),
        (o.run_at is not None and o.delay is not None, "give run_at or delay, not both", None),
        (
            o.delay is not None and o.delay > TEN_YEARS,
            "delay is longer than ten years",
            "Use at most 3600 days.",
        ),
        (
            o.priority is not None and not -(2**31) <= o.priority < 2**31,
            f"priority {o.priority} does not fit a 4-byte integer",
            "Use a whole number between -2147483648 and 2147483647; greater runs first.",
        ),
        (
            o.max_attempts is not None and not 1 <= o.max_attempts <= 10_000,
            f"max_attempts must lie between 1 and 10000, got {o.max_attempts}",
            None,
        ),
        (
            o.timeout is not None and not 0.001 <= o.timeout <= 360 * 86400,
            f"timeout must be positive and at most 360 days, got {o.timeout} s",
            "no_timeout=True means none.",
        ),
        (o.timeout is not None and o.no_timeout, "give timeout or no_timeout, not both", None),
        (
            o.delivery is not None and o.delivery not in DELIVERIES,
            f"delivery must be one of {', '.join(DELIVERIES)}, got {o.delivery!r}",
            None,
        ),
        (_bad_name(o.queue), f"{o.queue!r} cannot be a queue name", NAMES),
        (
            o.unique_key is not None and not 1 <= _bytes(o.unique_key) <= 200,
            "unique_key must be 1 to 200 bytes of text, without NUL",
            None,
        ),
        (
            len(o.tags) > 32
            or any(not isinstance(tag, str) or _bad_name(tag, stars=True) for tag in o.tags),
            "there may be 32 tags of 1 to 120 characters",
            None,
        ),
    ]


NAMES = "Names have 1 to 120 characters and no *, which marks a pattern."


def _bad_name(name: str | None, *, stars: bool = False) -> bool:
    if name is None:
        return False
    return not 1 <= len(name) <= 120 or (not stars and "*" in name) or _bytes(name) == 0


def _headers_flaw(headers: Mapping[str, object]) -> str | None:
    try:
        text = msgspec.json.encode(headers)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        return str(error)
    if len(text) > MAX_HEADERS:
        return f"{len(text)} bytes, at most {MAX_HEADERS} are kept"
    return unstorable(text, headers)


def unstorable(
    text: bytes, values: object, enc_hook: Callable[[Any], Any] | None = None
) -> str | None:
    """Why PostgreSQL, or JSON, cannot hold what was encoded as this text; None when it can."""
    if b"\\u0000" in text and _NUL.search(text):
        return "text with a NUL character cannot be stored"
    if b"null" in text and _has_nan(msgspec.to_builtins(values, enc_hook=enc_hook)):
        return "NaN and infinity are not JSON"
    return None


def _has_nan(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_nan(item) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_has_nan(item) for item in value)
    return False


def check_patterns(names: Sequence[str]) -> list[str]:
    """Names of queues or tasks, or prefixes with a trailing `*`, if they are; raises BadInput."""
    if isinstance(names, str):
        raise BadInput(f"{names!r} is one text, not a list of names", hint=f"Give [{names!r}].")
    for name in names:
        if not isinstance(name, str) or (name != "*" and _bad_name(name.removesuffix("*"))):
            raise BadInput(
                f"{name!r} is no name and no pattern",
                hint="Write a name, or a prefix with one * behind it.",
            )
    return [*names]


def check_task_name(name: str) -> str:
    """The name, if a task may have it; raises BadInput."""
    if _bad_name(name):
        raise BadInput(f"{name!r} cannot be a task name", hint=NAMES)
    return name


def _bytes(text: str) -> int:
    """Length in UTF-8; 0 for what PostgreSQL cannot hold (NUL, lone surrogates)."""
    try:
        return 0 if "\x00" in text else len(text.encode())
    except UnicodeEncodeError:
        return 0
