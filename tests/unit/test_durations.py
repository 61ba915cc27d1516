"""Durations as people give them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah import BadInput
from howdah.durations import seconds, span, written


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (0, 0.0),
        (5, 5.0),
        (0.25, 0.25),
        (timedelta(minutes=2), 120.0),
        ("30", 30.0),
        ("30s", 30.0),
        ("250ms", 0.25),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1w", 604800.0),
        ("1h 30m", 5400.0),
        ("1h30m", 5400.0),
        (" 1.5 h ", 5400.0),
    ],
)
def test_every_way_to_write_a_duration_means_its_seconds(given: object, meant: float) -> None:
    found = seconds(given)  # type: ignore[arg-type]

    assert found == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "soon",
        "5x",
        "5m later",
        "m5",
        "-5",
        "-5s",
        "1h -5m",
        "nan",
        "inf",
        "1e999",
        -1,
        -0.001,
        float("nan"),
        float("inf"),
        True,
        False,
        None,
        [],
        b"5s",
        timedelta(seconds=-1),
        10**400,
    ],
)
def test_what_is_no_duration_is_refused_as_bad_input(given: object) -> None:
    with pytest.raises(BadInput) as refused:
        seconds(given)  # type: ignore[arg-type]

    assert "duration" in refused.value.message


@pytest.mark.parametrize("given", [1e300, "99999999999d", 10**15])
def test_a_duration_that_no_timedelta_can_hold_is_refused_as_bad_input(given: object) -> None:
    with pytest.raises(BadInput) as refused:
        span(given)  # type: ignore[arg-type]

    assert "duration" in refused.value.message


def test_a_span_of_nothing_is_nothing() -> None:
    assert span(None) is None
    assert span("5m") == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0ms"),
        (0.85, "850ms"),
        (1, "1s"),
        (12.4, "12.4s"),
        (310, "5m 10s"),
        (300, "5m"),
        (7500, "2h 5m"),
        (273600, "3d 4h"),
    ],
)
def test_a_duration_is_written_for_people(length: float, text: str) -> None:
    assert written(length) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_what_is_written_is_never_sixty_seconds_nor_a_thousand_milliseconds(length: float) -> None:
    text = written(length)

    assert "1000ms" not in text
    assert not text.startswith("60s")


@given(st.floats(min_value=0, max_value=1e4), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_a_number_with_a_unit_is_that_many_of_the_unit(number: float, unit: str) -> None:
    factor = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]

    found = seconds(f"{number:.3f}{unit}")

    assert found == pytest.approx(float(f"{number:.3f}") * factor)
