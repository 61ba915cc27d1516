"""What is said about a job's keys: whom it waits for, and what else there may be under its key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import msgspec

from howdah.durations import Duration, within_ten_years
from howdah.errors import BadInput

LONGEST = 200  # bytes of a key
MOST_LIMITS = 6
_CHOICES = {
    "collapse": ("waiting", "task"),
    "on_failure": ("block", "skip"),
    "unique_per": ("queue",),
    "unique_while": ("unfinished", "waiting"),
    "on_conflict": ("existing", "replace", "merge", "raise"),
}
_NAMED = re.compile(r"\{([^{}]*)\}")


class Keyed(TypedDict, total=False):
    """Options about keys, for tasks (where keys are templates, `account:{id}`) and for jobs.

    serial_key: jobs of one key run one at a time, in order, across all queues; each gets the key's
        cursor as `ctx.cursor`.
    collapse: "waiting": at most one job of the serial key waits, whatever its task and arguments;
        "task": one of each queue and task. Enqueuing while one waits gives its id.
    on_failure: "block" (default): a job that is to be tried again holds up its serial key; "skip":
        the next ones go on.
    limit_keys: limits that a job counts against; how many of a key run at once is for `put_limit`.
    unique_per: "queue": a unique key holds within its queue.
    unique_while: "unfinished" (default), or "waiting": until the job starts.
    unique_for: so long from the enqueue, whatever becomes of the job.
    on_conflict: what becomes of the job that has the key, if it waits: "existing" (nothing),
        "replace" (arguments, time and priority), "merge" (objects and lists are put together), or
        "raise" Conflict.
    earlier: the earlier time of the two counts.
    """

    serial_key: str
    collapse: str
    on_failure: str
    limit_keys: Sequence[str]
    unique_per: str
    unique_while: str
    unique_for: Duration
    on_conflict: str
    earlier: bool


class Keys(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The same as a value, checked; `unique_for` in seconds."""

    serial_key: str | None = None
    collapse: str | None = None
    on_failure: str | None = None
    limit_keys: tuple[str, ...] = ()
    unique_per: str | None = None
    unique_while: str | None = None
    unique_for: float | None = None
    on_conflict: str | None = None
    earlier: bool = False

    def fields(self) -> dict[str, object]:
        """Those that say something, as the store takes them."""
        said: dict[str, object] = msgspec.to_builtins(self)
        if self.unique_for is not None:
            said["unique_for"] = f"{self.unique_for:.6f} s"
        return said

    def over(self, others: Keys | None) -> Keys:
        """These, and of the others what these do not say."""
        if others is None:
            return self
        mine, silent = msgspec.structs.asdict(self), msgspec.structs.asdict(NO_KEYS)
        said = {name: value for name, value in mine.items() if value != silent[name]}
        return msgspec.structs.replace(others, **said)

    def filled(self, args: Mapping[str, Any]) -> Keys:
        """The keys that these templates make of a job's arguments. Raises BadInput."""
        return msgspec.structs.replace(
            self,
            serial_key=filled(self.serial_key, args),
            limit_keys=tuple(filled(template, args) or "" for template in self.limit_keys),
        )


NO_KEYS = Keys()


def make_keys(given: Mapping[str, Any]) -> Keys | None:
    """What is said about keys, checked where it enters; None when nothing is. Raises BadInput."""
    said = {name: value for name, value in given.items() if value is not None}
    if strange := set(said) - set(Keys.__struct_fields__):
        raise TypeError(f"there is no option {min(strange)!r}")
    if not said:
        return None
    for name, choices in _CHOICES.items():
        if name in said and said[name] not in choices:
            raise BadInput(
                f"{name} must be one of {', '.join(choices)}, got {said[name]!r}",
            )
    limits = said.get("limit_keys", ())
    if isinstance(limits, str) or not isinstance(limits, Iterable):
        raise BadInput(
            f"limit_keys must be a list, got {limits!r}",
            hint=f"Give [{limits!r}].",
        )
    said["limit_keys"] = tuple(limits)
    if len(said["limit_keys"]) > MOST_LIMITS:
        raise BadInput(f"{len(said['limit_keys'])} limit keys, at most {MOST_LIMITS} are taken")
    for key in (said.get("serial_key", "key"), *said["limit_keys"]):
        if not isinstance(key, str) or not 1 <= _bytes(key) <= LONGEST:
            raise BadInput(f"a key must be 1 to {LONGEST} bytes of text, got {key!r}")
    if "unique_for" in said:
        said["unique_for"] = within_ten_years("unique_for", said["unique_for"])
    if "serial_key" not in said and ("collapse" in said or "on_failure" in said):
        raise BadInput("collapse and on_failure need a serial_key")
    return Keys(**said)


def _bytes(key: str) -> int:
    """Length in UTF-8; 0 for what PostgreSQL cannot hold (NUL, lone surrogates)."""
    try:
        return 0 if "\x00" in key else len(key.encode())
    except UnicodeEncodeError:
        return 0


def filled(template: str | None, args: Mapping[str, Any]) -> str | None:
    """A key made from a template: `user:{user_id}` with the arguments' values. Raises BadInput."""
    if template is None:
        return None

    def value(match: re.Match[str]) -> str:
        if (found := args.get(match[1])) is None:
            raise BadInput(
                f"the key {template!r} needs the argument {match[1]}", hint="Give the argument."
            )
        return found if isinstance(found, str) else msgspec.json.encode(found).decode()

    made = _NAMED.sub(value, template)
    if not 1 <= len(made.encode()) <= LONGEST:
        raise BadInput(f"the key {template!r} becomes longer than {LONGEST} bytes, or empty")
    return made
