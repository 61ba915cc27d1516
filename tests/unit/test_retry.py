"""When a failed attempt is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah import BadInput, Retry


def middle() -> float:
    return 0.5


def test_the_default_waits_three_six_and_twelve_seconds() -> None:
    policy = Retry()

    waits = [policy.delay(failures, middle) for failures in (1, 2, 3)]

    assert waits == [3.0, 6.0, 12.0]
    assert policy.max_attempts == 4


def test_a_wait_never_grows_beyond_the_longest() -> None:
    policy = Retry()

    waits = [policy.delay(failures, middle) for failures in (11, 12, 100, 10_000)]

    assert waits == [3072.0, 3600.0, 3600.0, 3600.0]


def test_chance_moves_a_wait_by_the_jitter_and_no_more() -> None:
    policy = Retry(first=10, jitter=0.2)

    assert policy.delay(1, lambda: 0.0) == pytest.approx(8)
    assert policy.delay(1, middle) == pytest.approx(10)
    assert policy.delay(1, lambda: 1.0) == pytest.approx(12)


def test_durations_of_a_policy_may_be_written_in_words() -> None:
    policy = Retry(first="2s", longest=timedelta(minutes=1), factor=10)

    waits = [policy.delay(failures, middle) for failures in (1, 2, 3)]

    assert waits == [2.0, 20.0, 60.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": -1},
        {"max_attempts": 10_001},
        {"max_attempts": 2.5},
        {"max_attempts": None},
        {"factor": 0.5},
        {"factor": 1001},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"first": -1},
        {"longest": "never"},
        {"first": timedelta(days=3601)},
        {"longest": timedelta(days=3601)},
        {"factor": float("nan")},
        {"factor": float("inf")},
        {"jitter": float("nan")},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_where_it_is_written(
    wrong: dict[str, object],
) -> None:
    with pytest.raises(BadInput):
        Retry(**wrong)  # type: ignore[arg-type]


def test_no_wait_is_longer_than_the_store_takes() -> None:
    policy = Retry(first="3600d", longest="3600d", jitter=1)

    assert policy.delay(1, lambda: 1.0) == 3600 * 86400


@given(
    st.integers(1, 10_000),
    st.floats(0, 1e6),
    st.floats(1, 1000),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_every_allowed_policy_gives_a_wait_between_zero_and_the_longest_plus_jitter(
    failures: int, first: float, factor: float, jitter: float, chance: float
) -> None:
    policy = Retry(first=first, factor=factor, jitter=jitter)

    wait = policy.delay(failures, lambda: chance)

    assert 0 <= wait <= 3600 * (1 + jitter) + 1e-6


@given(st.integers(1, 60), st.floats(0.001, 100), st.floats(1, 5))
def test_without_jitter_a_later_wait_is_never_shorter(
    failures: int, first: float, factor: float
) -> None:
    policy = Retry(first=first, factor=factor, jitter=0)

    assert policy.delay(failures + 1) >= policy.delay(failures)


def test_errors_that_are_never_retried_may_come_in_any_collection_and_are_exceptions() -> None:
    assert Retry(never=ValueError).never == (ValueError,)  # type: ignore[arg-type]
    assert Retry(never=[ValueError, KeyError]).never == (ValueError, KeyError)  # type: ignore[arg-type]
    for wrong in ("ValueError", ("ValueError",), (int,), None):
        with pytest.raises(BadInput, match="exception types"):
            Retry(never=wrong)  # type: ignore[arg-type]
