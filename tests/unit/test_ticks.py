"""When schedules fire: cron lines, intervals and RRULEs, against brute force over clock changes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from howdah.errors import BadInput
from howdah.ticks import last_tick, rule, ticks, upcoming

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2024, 5, 1, 12, 30, 7, 250_000, tzinfo=UTC)
ZONES = (  # noqa: SIM905 - among them changes of half an hour, of two hours, of 45-minute zones, and of no DST
    "Europe/Berlin Europe/London Europe/Lisbon Europe/Dublin Europe/Moscow Europe/Istanbul "
    "Europe/Chisinau America/New_York America/Denver America/St_Johns America/Sao_Paulo "
    "America/Santiago America/Asuncion America/Havana America/Nuuk America/Scoresbysund "
    "America/Mexico_City America/Caracas America/Whitehorse Antarctica/Troll Antarctica/Casey "
    "Asia/Amman Asia/Beirut Asia/Gaza Asia/Jerusalem Asia/Tehran Asia/Pyongyang Asia/Kathmandu "
    "Asia/Kolkata Asia/Tokyo Australia/Lord_Howe Australia/Adelaide Australia/Eucla Africa/Cairo "
    "Africa/Casablanca Africa/Juba Pacific/Chatham Pacific/Apia Pacific/Fiji Pacific/Norfolk"
).split()
LINES = (
    "30 2 * * *",
    "0 0,1,3 * * *",
    "15 8 1 * MON",
    "*/20 * * * *",
    "7 * * * SUN",
    "*/15 2 * * *",
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def texts(found: list[datetime], zone: str) -> list[str]:
    return [tick.astimezone(ZoneInfo(zone)).isoformat() for tick in found]


def cron(line: str, tz: str = "UTC"):
    return rule("cron", line, tz=tz, starts_at=START)


def rrule(text: str, tz: str = "UTC", starts_at: datetime = START):
    return rule("rrule", text, tz=tz, starts_at=starts_at)


def fields(line: str) -> tuple[set[int], ...]:
    """A cron line read by hand, as far as the lines here go."""

    def read(text: str, low: int, high: int) -> set[int]:
        found: set[int] = set()
        for part in text.replace("MON", "1").replace("SUN", "0").split(","):
            span, _, step = part.partition("/")
            first, last = (low, high) if span == "*" else (int(span), int(span))
            found.update(range(first, last + 1, int(step or 1)))
        return found

    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    return tuple(read(text, *limit) for text, limit in zip(line.split(), limits, strict=True))


class Line:
    """A cron line, and which days and which minutes of a day fit it."""

    def __init__(self, line: str) -> None:
        self.text = line
        self.minutes, self.hours, self.days, self.months, self.weekdays = fields(line)
        self.has_both_days = line.split()[2] != "*" and line.split()[4] != "*"
        self.is_fixed = not any(field.startswith("*") for field in line.split()[:2])
        self.of_a_day = bytes(n % 60 in self.minutes and n // 60 in self.hours for n in range(1440))

    def fits(self, date: date) -> bool:
        day, weekday = date.day in self.days, (date.weekday() + 1) % 7 in self.weekdays
        in_day = day or weekday if self.has_both_days else day and weekday
        return in_day and date.month in self.months

    def minutes_from(self, day: date, n: int) -> bytes:
        """For each minute of n days whether it fits."""
        days = (day + timedelta(days=k) for k in range(n))
        return b"".join(self.of_a_day if self.fits(each) else bytes(1440) for each in days)


def runs(zone: ZoneInfo, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Minutes from first to last in which the clock on the wall goes on minute by minute: each time
    a first one, the one behind the last, and how far it is ahead. No clock is put there and back
    within a quarter of an hour, so each minute is looked at only where two quarters differ.
    """

    def ahead(minute: int) -> int:
        offset = datetime.fromtimestamp(minute * 60, zone).utcoffset()
        assert offset % MINUTE == timedelta(0)
        return offset // MINUTE

    begin, now = first, ahead(first)
    for quarter in range(first, last + 1, 15):
        end = min(quarter + 15, last)
        for minute in range(quarter + 1, end + 1) if ahead(end) != now else ():
            if ahead(minute) != now:
                yield begin, minute, now
                begin, now = minute, ahead(minute)
    yield begin, last + 1, now


def brute_force(zone: ZoneInfo, first: datetime, last: datetime) -> dict[str, list[datetime]]:
    """Every minute on the wall is looked at: those that fit; of a line that names its hour and
    minute each wall time once, at its first minute, or at the first minute after the gap.
    """
    since, until = (int((moment - EPOCH) / MINUTE) for moment in (first, last))
    begin, days = (first - timedelta(days=3)).date(), (last - first).days + 8
    origin = (begin - EPOCH.date()).days * 1440
    walls = [*runs(zone, since - 1440, until)]
    return {
        line.text: [
            EPOCH + MINUTE * minute
            for minute in fitting(line, line.minutes_from(begin, days), walls, origin)
            if minute > since
        ]
        for line in map(Line, LINES)
    }


def fitting(
    line: Line, fits: bytes, walls: list[tuple[int, int, int]], origin: int
) -> Iterator[int]:
    """The minutes at which a line fires: `fits` tells of each wall time, from `origin` on."""
    shown, before = bytearray(len(fits)), walls[0][0] + walls[0][2] - origin
    for start, end, ahead in walls:
        low, high = start + ahead - origin, end + ahead - origin
        if line.is_fixed and 1 in fits[before:low] and not (fits[low] and not shown[low]):
            yield start
        for hit in re.finditer(b"\1", fits[low:high]):
            if not (line.is_fixed and shown[low + hit.start()]):
                yield start + hit.start()
        shown[low:high] = b"\1" * (high - low)
        before = high


def around_changes(zone: ZoneInfo, year: int) -> Iterator[datetime]:
    """The midnights (UTC) of the days on which the clocks of a zone change."""
    days = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(367)]
    for day, following in pairwise(days):
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            yield day


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Chatham"]
)
def test_ticks_around_clock_changes_are_those_of_brute_force(zone):
    days = list(around_changes(ZoneInfo(zone), 2024))

    assert len(days) >= 2
    for day in days:
        first, last = day - timedelta(hours=12), day + timedelta(hours=36)
        for line, expected in brute_force(ZoneInfo(zone), first, last).items():
            assert ticks(cron(line, zone), first, last, 10_000) == expected, (line, day)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("zone", ZONES)
def test_ten_years_of_a_zone_are_those_of_brute_force(zone):
    assert len(set(ZONES)) == 40
    first, last = datetime(2015, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)

    for line, expected in brute_force(ZoneInfo(zone), first, last).items():
        assert ticks(cron(line, zone), first, last, 10**7) == expected, line


def test_a_time_that_comes_twice_fires_once_and_one_that_is_left_out_right_after_the_gap():
    autumn = upcoming(cron("30 2 * * *", "Europe/Berlin"), at("2024-10-26T12:00Z"), 2)
    spring = upcoming(cron("30 2 * * *", "Europe/Berlin"), at("2024-03-30T12:00Z"), 2)

    assert texts(autumn, "Europe/Berlin") == [
        "2024-10-27T02:30:00+02:00",
        "2024-10-28T02:30:00+01:00",
    ]
    assert texts(spring, "Europe/Berlin") == [
        "2024-03-31T03:00:00+02:00",
        "2024-04-01T02:30:00+02:00",
    ]


def test_a_line_with_a_star_in_minute_or_hour_follows_elapsed_time():
    over = upcoming(cron("0 * * * *", "Europe/Berlin"), at("2024-10-27T00:30+02:00"), 4)

    assert [b - a for a, b in pairwise(over)] == [timedelta(hours=1)] * 3


def test_a_day_that_a_zone_leaves_out_fires_as_the_next_begins():
    apia = upcoming(cron("0 8 * * *", "Pacific/Apia"), at("2011-12-29T00:00-10:00"), 3)

    assert texts(apia, "Pacific/Apia") == [
        "2011-12-29T08:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T08:00:00+14:00",
    ]  # fmt: skip


def test_six_fields_begin_with_the_seconds():
    found = upcoming(cron("*/20 30 8 * * *"), at("2024-05-01T08:29Z"), 4)

    assert [f"{tick:%d %H:%M:%S}" for tick in found] == [
        "01 08:30:00", "01 08:30:20", "01 08:30:40", "02 08:30:00",
    ]  # fmt: skip


def test_an_interval_counts_from_its_start_whatever_the_clocks_do():
    every = rule("every", "90", tz="Europe/Berlin", starts_at=START)

    assert upcoming(every, START - MINUTE, 2) == [START, START + timedelta(seconds=90)]
    assert every.after(START + timedelta(days=1)) == START + timedelta(seconds=90 * 961)


@pytest.mark.parametrize("day", ["2019-11-02", "2019-11-03"])
def test_a_recurrence_rule_keeps_its_wall_time_over_a_change(day):
    daily = rrule(
        "DTSTART;TZID=America/Denver:20191001T080000\nRRULE:FREQ=DAILY;BYHOUR=8;BYMINUTE=0;BYSECOND=0"
    )

    [tick] = upcoming(daily, at(f"{day}T00:00-06:00"), 1)

    assert tick.astimezone(ZoneInfo("America/Denver")).isoformat()[:19] == f"{day}T08:00:00"


def test_a_counted_rule_without_a_start_begins_with_the_next_second_and_ends():
    twice = rrule("FREQ=SECONDLY;COUNT=2")

    assert upcoming(twice, START, 5) == [at("2024-05-01T12:30:08Z"), at("2024-05-01T12:30:09Z")]


def test_a_rule_by_the_second_of_long_ago_is_quick_and_keeps_its_step():
    old = rrule("DTSTART:19700101T000003Z\nRRULE:FREQ=SECONDLY;INTERVAL=7")
    began = time.process_time()

    tick = old.after(START)

    assert time.process_time() - began < 0.1
    assert (tick - at("1970-01-01T00:00:03Z")).total_seconds() % 7 == 0
    assert timedelta(0) < tick - START <= timedelta(seconds=7)


def test_an_end_in_utc_is_a_moment_in_any_zone():
    until = rrule("FREQ=DAILY;UNTIL=20240503T123500Z", "Pacific/Auckland")

    assert len(upcoming(until, START, 10)) == 3


def test_a_leap_day_is_found_over_the_years_between():
    leap = rrule("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=0;BYMINUTE=0;BYSECOND=0")

    assert [tick.year for tick in upcoming(leap, START, 2)] == [2028, 2032]


def test_the_last_tick_of_a_span_is_found_from_behind():
    every_second, monthly = cron("* * * * * *"), cron("0 8 1 * *")

    assert last_tick(every_second, START - timedelta(days=300), START) == START.replace(
        microsecond=0
    )
    assert last_tick(monthly, START - timedelta(days=300), START) == at("2024-05-01T08:00Z")
    assert last_tick(monthly, START - timedelta(hours=1), START) is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("cron", "0 0 31 2 *"),
        ("cron", "0 0 30 2 *"),
        ("cron", "* " * 5000),
        ("cron", "0 8 * *"),
        ("cron", "61 * * * *"),
        ("cron", "0 0 * * 5L/2"),
        ("cron", "@daily"),
        ("cron", ""),
        ("every", "0.5"),
        ("rrule", "FREQ=DAILY;COUNT=100000"),
        ("rrule", "FREQ=SOMETIMES"),
        ("rrule", "FREQ=DAILY;INTERVAL=0"),
        ("rrule", "FREQ=DAILY;COUNT=2;UNTIL=20300101T000000Z"),
        ("rrule", "RDATE:20240101T000000Z"),
        ("rrule", "FREQ=DAILY\nRRULE:FREQ=HOURLY"),
        ("rrule", "FREQ=DAILY;BYHOUR=25"),
        ("rrule", "DTSTART:00010101T000000Z\nFREQ=SECONDLY"),
    ],
)
def test_what_is_no_rule_is_refused_at_once(kind, text):
    began = time.process_time()

    with pytest.raises(BadInput):
        rule(kind, text, starts_at=START)

    assert time.process_time() - began < 0.1 + 0.3  # the first one imports what it needs


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"FREQ={freq};BYMONTH=2;BYMONTHDAY=31"
            for freq in ("SECONDLY", "MINUTELY", "DAILY", "MONTHLY", "YEARLY")
        ),
        "FREQ=DAILY;COUNT=3;BYMONTH=2;BYMONTHDAY=31",
        "DTSTART:20240430T000000Z\nFREQ=DAILY;INTERVAL=7;BYDAY=MO",
        "FREQ=YEARLY;BYDAY=MO;BYSETPOS=100",
    ],
)
def test_a_rule_that_never_fires_says_so_at_once(text):
    never = rrule(text)
    began = time.process_time()

    assert never.after(START) is None
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "", "\0", "Europe"])
def test_a_zone_that_is_none_is_refused(zone):
    with pytest.raises(BadInput):
        cron("0 8 * * *", zone)
