"""When a schedule fires: pure, with time as an argument. Cron lines, fixed intervals, RRULEs.

A rule is about wall time, in a zone. Where the clocks change, a rule that names its hour and minute
fires once: at the first of two equal wall times, and for those that a gap leaves out right after
the gap. Cron lines with a `*` in the minute or the hour, and RRULEs that recur by the hour or more
often, follow elapsed time: they fire whenever the clock on the wall fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from itertools import islice
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from howdah.errors import BadInput

LONGEST_LINE = 256  # characters of a cron line
LONGEST_RRULE = 1024
MOST_COUNTED = 10_000  # occurrences of an RRULE with COUNT: it is counted from its start each time
SECOND = timedelta(seconds=1)
NEVER_AFTER = datetime(2299, 1, 1, tzinfo=UTC)  # what a job's run_at can hold, and some room


class Rule(Protocol):
    """When a schedule fires."""

    def after(self, moment: datetime) -> datetime | None:
        """The first tick later than this moment, in UTC; None: there is none any more."""
        ...


def rule(kind: str, text: str, *, tz: str = "UTC", starts_at: datetime) -> Rule:
    """The rule of a schedule; raises BadInput. `text` of an interval is its seconds."""
    if kind == "every":
        return Every(timedelta(seconds=float(text)), starts_at)
    if kind == "cron":
        return Cron(text, zone(tz))
    if kind == "rrule":
        return RRule(text, zone(tz), starts_at)
    raise BadInput(f"{kind!r} is no kind of schedule", hint="Kinds are cron, every and rrule.")


def ticks(of: Rule, after: datetime, until: datetime, most: int) -> list[datetime]:
    """Up to `most` ticks later than `after` and not later than `until`, in order."""
    found: list[datetime] = []
    while len(found) < most and (tick := of.after(after)) is not None and tick <= until:
        found.append(tick)
        after = tick
    return found


def last_tick(of: Rule, after: datetime, until: datetime) -> datetime | None:
    """The last tick later than `after` and not later than `until`.

    Looked for in ever longer spans before `until`: few ticks lie in the first that holds any.
    """
    span = timedelta(minutes=1)
    while True:
        start = max(after, until - span)
        found = ticks(of, start, until, 100_000)
        if found:
            return found[-1]
        if start == after:
            return None
        span *= 30


def upcoming(of: Rule, after: datetime, n: int) -> list[datetime]:
    """The next n ticks."""

    def each() -> Iterator[datetime]:
        moment = after
        while (tick := of.after(moment)) is not None:
            yield tick
            moment = tick

    return list(islice(each(), n))


class Every:
    """A fixed interval, counted from its start: at the start, and each so much later."""

    def __init__(self, length: timedelta, starts_at: datetime) -> None:
        if not SECOND <= length <= timedelta(days=3660):
            raise BadInput(
                "an interval lies between a second and ten years", hint='For example every="5m".'
            )
        self._length, self._start = length, starts_at.astimezone(UTC)

    def after(self, moment: datetime) -> datetime | None:
        """See Rule."""
        if moment < self._start:
            return self._start
        tick = self._start + self._length * ((moment - self._start) // self._length + 1)
        return tick if tick < NEVER_AFTER else None


class Wall:
    """Wall times of a zone as moments: `next` gives the first wall time after another one."""

    def __init__(
        self, next_wall: Callable[[datetime], datetime | None], zone: tzinfo, *, is_elapsed: bool
    ) -> None:
        self._next, self._zone, self._is_elapsed = next_wall, zone, is_elapsed

    def after(self, moment: datetime) -> datetime | None:
        """See Rule."""
        moment = moment.astimezone(UTC)
        return self._elapsed_after(moment) if self._is_elapsed else self._fixed_after(moment)

    def _fixed_after(self, moment: datetime) -> datetime | None:
        # Wall times map to moments in order, so those up to the wall's now are not later than now.
        wall = self._next(_wall(moment, self._zone))
        while wall is not None and (tick := _moment(wall, self._zone)) <= moment:
            wall = self._next(wall)
        return None if wall is None else tick

    def _elapsed_after(self, moment: datetime) -> datetime | None:
        while True:
            wall = _wall(moment, self._zone)
            offset = wall - moment.replace(tzinfo=None)
            following = self._next(wall)
            if following is None:
                return None
            tick = (following - offset).replace(tzinfo=UTC)
            change = _first_change(moment, tick, self._zone)
            if change is None:
                return tick
            if self._fits(change):
                return change
            moment = change  # go on with the new offset

    def _fits(self, moment: datetime) -> bool:
        """Whether the clock on the wall does at this moment."""
        wall = _wall(moment, self._zone)
        return self._next(wall - timedelta(microseconds=1)) == wall


class Cron(Wall):
    """A cron line of five fields, or six with the seconds first."""

    def __init__(self, line: str, zone: tzinfo) -> None:
        fields = _cron_fields(line)
        self._line = " ".join(fields)
        minute, hour = fields[-5], fields[-4]
        is_elapsed = minute.startswith("*") or hour.startswith("*")
        super().__init__(self._next_wall, zone, is_elapsed=is_elapsed)
        _checked_cron(self._line)

    def _next_wall(self, wall: datetime) -> datetime | None:
        from cronsim import CronSim

        return next(CronSim(self._line, wall), None)


def _cron_fields(line: str) -> list[str]:
    fields = line.split() if isinstance(line, str) else []
    if not isinstance(line, str) or len(line) > LONGEST_LINE or len(fields) not in {5, 6}:
        raise BadInput(
            f"{str(line)[:60]!r} is no cron line",
            hint="Write minute, hour, day of month, month, day of week: '0 8 * * *' is daily at 8. "
            "A sixth field in front is for seconds.",
        )
    return fields


@lru_cache(maxsize=256)
def _checked_cron(line: str) -> None:
    from cronsim import CronSim, CronSimError

    try:
        never = next(CronSim(line, datetime(2024, 1, 1)), None) is None  # noqa: DTZ001 - wall time
    except (CronSimError, ValueError, TypeError, AssertionError) as error:
        raise BadInput(
            f"{line!r} is no cron line: {str(error) or 'it cannot be read'}",
            hint="For example '*/15 8-18 * * MON-FRI'.",
        ) from error
    if never:
        raise BadInput(f"{line!r} never fires: there is no such day", hint="Look at day and month.")


class RRule(Wall):
    """A recurrence rule of RFC 5545, with a line DTSTART before it or without.

    Without DTSTART it starts with the first whole second of the schedule's life, in its zone; with
    one that has a TZID, or ends in Z, that zone is the rule's.
    """

    def __init__(self, text: str, zone: tzinfo, starts_at: datetime) -> None:
        start, own_zone, parts = _read_rrule(text)
        zone = own_zone or zone
        if start is None:
            start = _wall(starts_at + timedelta(microseconds=999_999), zone).replace(microsecond=0)
        self._rule = _recurrence(_in_zone(parts, zone), start)
        self._start, self._has_count = start, "COUNT" in parts
        self._step = _STEPS.get(parts["FREQ"], timedelta(0)) * int(parts.get("INTERVAL", "1"))
        is_elapsed = _STEPS.get(parts["FREQ"], timedelta.max) <= timedelta(hours=1)
        super().__init__(self._next_wall, zone, is_elapsed=is_elapsed and "BYHOUR" not in parts)

    def _next_wall(self, wall: datetime) -> datetime | None:
        near = self._rule
        if self._step and not self._has_count and wall > self._start:
            # All the same when begun a whole number of steps later: nothing is counted from afar.
            steps = max(0, (wall - self._start) // self._step - 1)
            near = near.replace(dtstart=self._start + self._step * steps)
        return _first_later(near, wall)


_STEPS = {
    "SECONDLY": SECOND,
    "MINUTELY": timedelta(minutes=1),
    "HOURLY": timedelta(hours=1),
    "DAILY": timedelta(days=1),
    "WEEKLY": timedelta(weeks=1),
}


MOST_LOOKS = 120  # months, or steps if they are longer, without an occurrence: it has none


def _first_later(rule: Any, wall: datetime) -> datetime | None:
    """The first occurrence later than this; None also when the rule goes on for long without any.

    What never comes, a 31st of February, would be looked for until the year 9999.
    """
    rule.__class__ = _bounded()
    rule.looks = 0
    try:
        for found in rule:
            if found > wall:
                return found  # type: ignore[no-any-return]
            rule.looks = 0
    except _TooFarError:
        pass
    return None


class _TooFarError(Exception):
    """There was no occurrence for long."""


@cache
def _bounded() -> type:
    """dateutil's rrule, which reads what is a property here as often as it turns to a new month."""
    from dateutil.rrule import rrule

    class Bounded(rrule):  # type: ignore[misc] # dateutil has no types
        """Gives up where rrule would not."""

        looks: int

        @property
        def _byeaster(self) -> object:
            self.looks += 1
            if self.looks > MOST_LOOKS:
                raise _TooFarError
            return vars(self)["_byeaster"]

    return Bounded


_DTSTART = re.compile(
    r"DTSTART(?:;TZID=(?P<tz>[^:;]+))?:(?P<at>\d{8}T\d{6})(?P<utc>Z?)", re.IGNORECASE
)
_PARTS = {
    "FREQ", "UNTIL", "COUNT", "INTERVAL", "BYSECOND", "BYMINUTE", "BYHOUR", "BYDAY", "BYMONTHDAY",
    "BYYEARDAY", "BYWEEKNO", "BYMONTH", "BYSETPOS", "BYEASTER", "WKST",
}  # fmt: skip
_HINT = (
    "Write 'FREQ=WEEKLY;BYDAY=MO;BYHOUR=8;BYMINUTE=0;BYSECOND=0', with a line "
    "'DTSTART;TZID=Europe/Berlin:20300101T080000' before it or without."
)


def _read_rrule(text: str) -> tuple[datetime | None, tzinfo | None, dict[str, str]]:
    """Its start as a wall time, the zone of that, and the parts of the rule."""
    lines = text.split() if isinstance(text, str) and len(text) <= LONGEST_RRULE else []
    start: datetime | None = None
    own_zone: tzinfo | None = None
    parts: dict[str, str] = {}
    for line in lines:
        if (match := _DTSTART.fullmatch(line)) is not None and start is None:
            start = _wall_time(match["at"])
            own_zone = UTC if match["utc"] else zone(match["tz"]) if match["tz"] else None
        elif not parts:
            pairs = [pair.partition("=") for pair in line.upper().removeprefix("RRULE:").split(";")]
            parts = {name: value for name, _, value in pairs}
            if len(parts) != len(pairs) or not parts.keys() <= _PARTS:
                parts = {}
                break
        else:
            parts = {}
            break
    if "FREQ" not in parts:
        raise BadInput(f"{str(text)[:80]!r} is no recurrence rule", hint=_HINT)
    if "COUNT" in parts and "UNTIL" in parts:
        raise BadInput("a rule has a COUNT or an UNTIL, not both", hint=_HINT)
    if not 1 <= _number(parts, "INTERVAL") <= 100_000 or _number(parts, "COUNT") > MOST_COUNTED:
        raise BadInput(
            f"a rule has an INTERVAL of 1 to 100000, and a COUNT of at most {MOST_COUNTED}",
            hint="To end a longer one, use UNTIL.",
        )
    return start, own_zone, parts


def _number(parts: dict[str, str], name: str) -> int:
    value = parts.get(name, "1")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 9 else 0


def _wall_time(text: str) -> datetime:
    try:
        found = datetime.strptime(text, "%Y%m%dT%H%M%S")  # noqa: DTZ007 - wall time
    except ValueError as error:
        raise BadInput(f"{text!r} is no moment", hint=_HINT) from error
    if not 1970 <= found.year < 2299:
        raise BadInput(f"DTSTART {text} is not between 1970 and 2299", hint=_HINT)
    return found


def _in_zone(parts: dict[str, str], zone: tzinfo) -> dict[str, str]:
    """UNTIL as a wall time: in UTC it is the same moment of the rule's zone."""
    until = parts.get("UNTIL", "")
    if not until.endswith("Z"):
        return parts
    moment = _wall_time(until.removesuffix("Z")).replace(tzinfo=UTC)
    return {**parts, "UNTIL": f"{_wall(moment, zone):%Y%m%dT%H%M%S}"}


def _recurrence(parts: dict[str, str], start: datetime) -> Any:
    try:
        from dateutil.rrule import rrulestr
    except ModuleNotFoundError as error:
        raise BadInput(
            "recurrence rules need python-dateutil",
            hint="Install it: pip install 'howdah[schedules]'.",
        ) from error
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    try:
        return rrulestr(text, dtstart=start)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise BadInput(f"{text!r} is no recurrence rule: {error}", hint=_HINT) from error


# Zones


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """The time zone of that name; raises BadInput."""
    try:
        if name == "UTC":
            return UTC
        return ZoneInfo(name)
    except Exception as error:  # what a name can do to a file system is manifold
        raise BadInput(
            f"there is no time zone {name!r}", hint="Use a name like Europe/Berlin, or UTC."
        ) from error


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    """What the clock on the wall shows."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _moment(wall: datetime, zone: tzinfo) -> datetime:
    """When the clock first shows it; when it jumps over it, the moment of the jump."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if _wall(moment, zone) == wall:
        return moment
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)  # by the later offset: too early
    change = _first_change(before, moment, zone)
    return moment if change is None else change


def _first_change(after: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    """When the offset first changes later than `after`, until `until`; to the second."""
    offset = after.astimezone(zone).utcoffset()
    step = timedelta(days=7)  # no zone changes there and back within a week
    low = after
    while low < until:
        high = min(until, low + step)
        if high.astimezone(zone).utcoffset() != offset:
            break
        low = high
    else:
        return None
    low, high = low.replace(microsecond=0), high + timedelta(microseconds=-high.microsecond % 10**6)
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high
