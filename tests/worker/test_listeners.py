"""Listeners that code declares."""

from __future__ import annotations

from typing import Any

import pytest

from howdah.errors import BadInput, Conflict
from howdah.events import Declarations


async def test_a_declared_listener_runs_its_task_with_the_event(app, seen):
    heard: list[Any] = []
    told = seen(app, Declarations)

    @app.listen("user.created", name="single", args={"lang": "mi"})
    @app.task(name="welcome")
    async def welcome(event: dict[str, Any], lang: str) -> None:
        heard.append((event["data"], lang))

    @app.listen("job.succeeded.default.welcome", collapse=True)
    @app.task(name="ends")
    async def ends(events: list[dict[str, Any]]) -> None:
        heard.extend(event["name"] for event in events)

    async with app.worker() as worker:
        listened = await app.emit("user.created", {"id": 7})
        await worker.idle()

    assert listened == 1
    assert heard == [({"id": 7}, "mi"), "job.succeeded.default.welcome"]
    assert [(event.kind, event.changes) for event in told] == [
        ("listener", (("ends", "new"), ("single", "new")))
    ]


def test_listening_makes_a_task_of_a_plain_function(app):
    @app.listen("user.created")
    async def welcome(event: dict[str, Any]) -> None: ...

    assert app.listeners[welcome.name].job.task == welcome.name
    assert app.tasks[welcome.name] is welcome


def test_what_cannot_listen_is_refused(app):
    @app.task(name="welcome")
    async def welcome(event: dict[str, Any]) -> None: ...

    with pytest.raises(BadInput):
        app.listen("a*b")(welcome)
    with pytest.raises(BadInput):
        app.listen("a")(lambda event: None)
    with pytest.raises(BadInput, match="at most 500,000"):
        app.listen("a", args={"lang": "x" * 500_000})(welcome)
    app.listen("a")(welcome)
    with pytest.raises(Conflict):
        app.listen("b")(welcome)
