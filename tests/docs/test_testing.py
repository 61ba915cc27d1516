"""The page on testing, followed: its program's tests pass, as they do when all runs inline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

INLINE = """
import pytest
from program import send_reminder, send_welcome, sign_up

@pytest.mark.parametrize("email", ["ada", "bob"])
def test_it_runs_without_a_loop(jobs, email):
    with jobs.inline():
        send_reminder.enqueue_sync(email)
    assert [job.state for job in jobs.enqueued(args={"email": email})] == ["succeeded"]

async def test_it_ran_at_once(jobs, request):
    await sign_up("ada")
    ended = "succeeded" if request.config.getini("howdah_mode") == "inline" else "ready"
    assert jobs.enqueued(send_welcome, state=ended)
"""


@pytest.mark.slow  # it starts servers
@pytest.mark.timeout(600)
async def test_testing(reading: Any, dsn: str, folder: Path) -> None:
    reader = reading("docs/how-to/testing.md", dsn, configured=False)

    said = await reader.follow()
    (folder / "test_inline.py").write_text(INLINE)
    not_inline = reader.terminal.type("pytest test_inline.py")
    at_once = "-o howdah_mode=inline test_inline.py::test_it_ran_at_once"
    inline = reader.terminal.type(f"pytest {at_once}")

    assert "2 passed" in said
    assert "3 passed" in not_inline
    assert "1 passed" in inline
