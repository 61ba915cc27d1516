"""What the looker asks of the store, and when."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

from howdah.settings import Settings
from howdah.worker.looker import Looker
from howdah.workers import Control

ROUNDS = 3


class Store:
    """Answers heartbeats so, and remembers what else was asked."""

    def __init__(self, due_in, ready):
        self.asked, self.beats = [], 0
        self._due_in, self._ready = due_in, ready

    async def run(self, call):
        [asked] = (n for n in ("heartbeat", "admit", "stage") if f".{n}(" in call.text)
        self.asked.append(asked)
        if asked == "admit":
            assert call.values == (0,)  # no shares are given out where nobody has room
        if asked != "heartbeat":
            return self._ready.get(asked, 0)
        self.beats += 1
        if self.beats > ROUNDS:
            raise asyncio.CancelledError
        return Control(
            action="go", cancel=None, next_due_in=timedelta(seconds=self._due_in), work=False
        )


class Patience:
    async def until_done(self, do):
        return await do()


async def asked_of(due_in, **ready):
    """What was asked in so many rounds, and how often the fetcher was told of work."""
    store, told = Store(due_in, ready), []

    async def obey(control):
        pass

    looker = Looker(
        store, SimpleNamespace(id=uuid4(), queues=("*",)), Settings(), Patience(),
        obey=obey, work=lambda: told.append(None), floors=lambda: "{}",
    )  # fmt: skip
    with suppress(asyncio.CancelledError):
        await looker.run()
    return store.asked, len(told)


async def test_at_its_moment_what_is_due_is_made_ready_before_anything_else_is_asked():
    asked, told = await asked_of(0.01, admit=1)

    assert asked == ["heartbeat", "admit", "stage"] * ROUNDS + ["heartbeat"]
    assert told == ROUNDS


async def test_what_is_overdue_is_made_ready_after_the_heartbeat_that_said_so():
    asked, told = await asked_of(0.0, stage=1)

    assert asked == ["heartbeat", "admit", "stage"] * ROUNDS + ["heartbeat"]
    assert told == ROUNDS


async def test_what_is_due_and_cannot_be_had_is_tried_again_at_growing_distances():
    loop = asyncio.get_running_loop()
    began = loop.time()

    asked, told = await asked_of(0.0)

    assert asked == ["heartbeat", "admit", "stage"] * ROUNDS + ["heartbeat"]
    assert told == 0
    assert loop.time() - began > 0.04 + 0.08 + 0.16 - 0.01


async def test_what_is_let_in_meanwhile_does_not_hurry_what_is_due_and_cannot_be_had():
    loop = asyncio.get_running_loop()
    began = loop.time()

    asked, told = await asked_of(0.0, admit=1)

    assert asked == ["heartbeat", "admit", "stage"] * ROUNDS + ["heartbeat"]
    assert told == ROUNDS
    assert loop.time() - began > 0.04 + 0.08 + 0.16 - 0.01
