"""URL jobs from Python: what is refused where it is written, and which method is meant."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from howdah import App, BadInput, Job
from howdah.urls import Http

URL = "https://a.example/"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": None}, "a method is text"),
        ({"body": "text"}, "a body is bytes"),
        ({"headers": {"authorization": b"Bearer x"}}, "a header is text"),
        ({"retry_on": ["²"]}, "is no status"),
        ({"timeout": "25h"}, "longer than a day"),
        ({"form": {"a": None}}, "^form field a"),
    ],
)
def test_what_would_be_taken_for_something_else_is_refused(
    wrong: dict[str, Any], said: str
) -> None:
    app = App("postgresql://nobody")

    with pytest.raises(BadInput, match=said):
        app.http.job(**{"method": "POST", "url": URL, **wrong})


@pytest.mark.parametrize(
    ("sent", "method"),
    [
        ({}, "GET"),
        ({"json": None}, "POST"),
        ({"data": 0}, "POST"),
        ({"form": {}}, "POST"),
        ({"form": None, "body": None}, "GET"),
    ],
)
def test_a_call_that_sends_something_is_a_post(sent: dict[str, Any], method: str) -> None:
    class Stored(Exception):
        """Instead of waiting for the answer."""

    class Nobody:
        async def enqueue(self, job: Job) -> UUID:
            raise Stored(msgspec.json.decode(job.args)["method"])

    with pytest.raises(Stored, match=method):
        asyncio.run(Http(Nobody()).call(URL, **sent))  # type: ignore[arg-type]
