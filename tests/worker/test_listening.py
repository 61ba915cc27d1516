"""The listener and the link, each by itself, with what they must not do."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from howdah.call import Call
from howdah.listener import Listener
from howdah.worker.link import Link


async def test_whoever_looks_when_told_of_a_gap_misses_nothing_that_comes_after(
    settings, db, eventually
):
    """What is sent from the moment of the gap on is heard: state is read after LISTEN."""
    heard: list[str] = []
    channel = db.execute("select howdah.channel()").fetchone()[0]
    listener = Listener(
        settings, heard.append, lambda: db.execute("select pg_notify(%s, 'now')", [channel])
    )

    listening = asyncio.create_task(listener.run())
    await eventually(lambda: heard == ["now"])

    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


async def test_a_call_that_is_not_answered_is_given_up_and_its_connection_with_it(settings, db):
    """Nobody waits for ever for an answer: the next call has another connection."""
    link = Link(settings, "test")
    pid = await link.run(Call("select pg_backend_pid()", (), lambda rows: rows[0][0]))

    unanswered = asyncio.create_task(link.run(Call("select pg_sleep(60)", (), list), timeout=0.2))
    await asyncio.wait({unanswered}, timeout=20)
    assert unanswered.done(), "it waits without end"
    assert isinstance(unanswered.exception(), TimeoutError)
    again = await link.run(Call("select pg_backend_pid()", (), lambda rows: rows[0][0]))

    assert again != pid
    await link.close()
