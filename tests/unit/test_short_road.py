"""When the short road of a hint is tried."""

from __future__ import annotations

import pytest

from howdah.worker import short_road
from howdah.worker.short_road import LONGEST_REST, ShortRoad


@pytest.fixture
def at(monkeypatch):
    """Sets the clock."""
    now = [1000.0]
    monkeypatch.setattr(short_road.time, "monotonic", lambda: now[0])

    def at(moment: float) -> None:
        now[0] = 1000.0 + moment

    return at


def test_it_rests_after_each_time_in_vain_and_the_longer_the_more_often(at):
    road, opened = ShortRoad(), []
    moment = 0.0

    for _ in range(12):
        at(moment)
        road.led_to(0)
        begun = moment
        while not road.is_open():
            moment += 0.05
            at(moment)
        opened.append(moment - begun)

    assert opened[:3] == pytest.approx([0.1, 0.2, 0.4], abs=0.06)
    assert opened[-1] == pytest.approx(LONGEST_REST, abs=0.06)


def test_one_that_leads_somewhere_is_open_and_rests_shortly_again(at):
    road = ShortRoad()
    assert road.is_open()
    for _ in range(5):
        road.led_to(0)

    at(100)
    road.led_to(1)
    assert road.is_open()
    road.led_to(0)
    at(100.15)

    assert road.is_open()
