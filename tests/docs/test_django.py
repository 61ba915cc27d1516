"""The page on Django, followed word for word from an empty folder to running jobs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from howdah.embedded import running


@pytest.mark.slow  # eight seconds of CPU
@pytest.mark.timeout(600)
async def test_from_an_empty_folder_to_running_jobs(reading: Any, dsn: str, folder: Path) -> None:
    reader = reading("docs/how-to/django.md", dsn, configured=False)

    said = await reader.follow()

    assert "neither order nor job: 1 order" in said
    assert len(re.findall(r" ready .*orders\.tasks", said)) == 2
    assert len(re.findall(r" succeeded .*orders\.tasks", said)) == 2
    assert "To: ada@example.org" in said
    assert "To: bob@example.org" not in said
    assert "Ran 2 tests" in said
    assert running(folder / "shop") is None
