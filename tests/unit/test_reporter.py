"""Log lines of attempts: one for each way to end."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest

from howdah.events import AttemptFinished
from howdah.outcome import Outcome
from howdah.reporter import Reporter
from howdah.rows import Claimed
from howdah.settings import Settings


def all_below(kind: type[Outcome]) -> list[type[Outcome]]:
    return [each for one in kind.__subclasses__() for each in (one, *all_below(one))]


@pytest.mark.parametrize("kind", all_below(Outcome), ids=lambda kind: kind.kind)
def test_each_way_to_end_has_its_line(
    caplog: pytest.LogCaptureFixture, kind: type[Outcome]
) -> None:
    caplog.set_level(logging.INFO, "howdah")
    job = Claimed(
        id=uuid4(), lease=uuid4(), queue="q", task="t", args="{}", priority=0, attempt=1,
        base_attempt=0, max_attempts=4, timeout_ms=None, delivery="at_least_once",
        leased_until=None, headers=None, tags=None,
    )  # fmt: skip

    Reporter(Settings())(AttemptFinished(job=job, outcome=kind(id=job.id, lease=job.lease), took=1))

    [record] = caplog.records
    assert record.outcome == kind.kind
    assert record.getMessage()[0] in "✓✗-…<"
