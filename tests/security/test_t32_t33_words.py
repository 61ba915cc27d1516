"""T32, T33: what others chose forges no line; what callers are told holds no statement of ours.

On terminals and in workers' lines: tests/cli/test_output.py::test_names_cannot_steer_the_terminal
and tests/cli/test_worker_command.py.
"""

from __future__ import annotations

import json
import logging
import uuid

import pytest

from howdah import App, Denied, HowdahError, Job, jobs
from howdah.logs import JsonLines, Lines

HOSTILE = [
    "\n12:00:00 forged", "\r", "\x1b[2J", "\x9b31m", "\u202e", "\u2028", "\u2066", "\x00", "\x7f",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("formatter", [Lines(), JsonLines()], ids=["text", "json"])
def test_t32_a_record_is_one_line_whatever_is_in_it(formatter, text):
    record = logging.makeLogRecord(
        {"msg": f"job a{text}b failed", "levelno": logging.WARNING, "levelname": "WARNING",
         "task": f"a{text}b", f"a{text}b": 1}
    )  # fmt: skip

    line = formatter.format(record)

    assert line.splitlines() == [line]
    assert line.isprintable()
    if isinstance(formatter, JsonLines):
        assert json.loads(line)["task"] == f"a{text}b"


INSIDE = ("select ", "insert into", "_howdah", "pl/pgsql", "$1")


async def refusals(app: App, other: App) -> list[HowdahError]:
    asked = [
        app.enqueue(Job(task="", args="{}")),
        app.enqueue(Job(task="t", args="[]")),
        app.result(uuid.uuid4(), timeout=0),
        app.run(jobs.ack(uuid.uuid4(), uuid.uuid4())),
        other.enqueue(Job(task="t", args="{}")),
    ]
    found = []
    for one in asked:
        with pytest.raises(HowdahError) as refused:
            await one
        found.append(refused.value)
    return found


async def test_t33_an_error_names_no_statement_table_or_row_of_ours(own_dsn, roles):
    nobody = own_dsn.replace("howdah@", f"{roles['nobody']}@", 1)
    other = App(nobody)  # opened by its first use, which is refused
    async with App(own_dsn) as app:
        found = await refusals(app, other)

    assert isinstance(found[-1], Denied)
    for error in found:
        words = f"{error} {vars(error)}".lower()
        assert not [
            w for w in ("select ", "insert into", "_howdah", "pl/pgsql", "$1") if w in words
        ], words
