"""The pure parts of a parent of processes: policy, the board, messages."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from uuid import uuid4

import pytest

from howdah import errors
from howdah.parent.child import Child, Death
from howdah.parent.messages import (
    Beat,
    Channel,
    FromChild,
    Go,
    Groups,
    Hello,
    Leaving,
    Refused,
    Registered,
    Start,
    Status,
    channel_on,
    settings_of,
)
from howdah.parent.policy import (
    beat_every,
    heartbeat_every,
    heartbeat_within,
    knock_after,
    quiet_after,
    quiet_for,
    restart_after,
    silence_allowed,
)
from howdah.parent.service import address_of
from howdah.settings import Settings
from howdah.source import Source
from howdah.worker.board import PLACE, Board, anonymous_file, read_board
from howdah.worker.chores import turns_of
from howdah.worker.pooled import NoProcess, Pooled


@pytest.mark.parametrize("lost_after", [1.0, 2.0, 6.0, 30.0, 600.0])
def test_a_child_is_ended_well_before_its_jobs_are_lost(lost_after):
    assert 0 < silence_allowed(lost_after) < lost_after
    assert lost_after - silence_allowed(lost_after) >= min(5.0, lost_after / 4)
    assert beat_every(lost_after) * 8 < silence_allowed(lost_after)
    longest = quiet_for(beat_every(lost_after), turns=5.0)
    assert silence_allowed(lost_after) + longest < lost_after - min(1.0, lost_after / 20)
    assert heartbeat_every(lost_after) * 10 < lost_after
    assert quiet_after(lost_after) < silence_allowed(lost_after)
    assert heartbeat_within(lost_after) <= max(1.0, lost_after / 2)


@pytest.mark.parametrize(("siblings", "turns"), [(1, 1), (2, 1), (4, 1), (8, 2), (20, 5), (64, 5)])
def test_workers_alike_share_the_looking_around_and_together_do_it_more_often_than_one(
    siblings, turns
):
    assert turns_of(siblings) == turns
    assert siblings / turns >= min(siblings, 4)


def test_a_worker_without_siblings_beats_as_usual():
    assert quiet_for(1.0, turns_of(1)) == 0


def test_a_child_that_sleeps_is_silent_only_after_it_was_to_be_heard_again():
    child = Child(1)
    child.heard_at = child.quiet_until = child.started_at - 10

    before = child.silent
    child._take(Beat(quiet=8.0))
    overdue = child.silent
    child._take(Beat(quiet=13.0))

    assert before >= 10
    assert 2 <= overdue < 3
    assert child.silent == 0


def test_the_first_death_costs_no_time_and_the_later_ones_more_and_more():
    assert [restart_after(deaths) for deaths in range(9)] == [0, 0, 0.25, 0.5, 1, 2, 4, 8, 10]
    assert restart_after(10_000) == 10
    assert restart_after(10_000, 2.0) == 2


def test_a_server_that_refuses_for_a_while_is_asked_again_soon_and_not_in_step():
    assert [knock_after(refusals, 1.0) for refusals in range(1, 6)] == [0.25, 0.5, 1, 2, 2]
    assert [knock_after(refusals, 0.0) for refusals in (1, 10_000)] == [0.125, 1]


def test_a_board_shows_what_runs_to_whoever_has_its_file():
    file = anonymous_file()
    board, jobs = Board(file), [uuid4() for _ in range(4)]
    board.make_room(3)

    places = [board.enter(job_id) for job_id in jobs]
    full = read_board(file)
    board.leave(places[1])
    board.leave(places[3])  # it had no place
    left = read_board(file)
    again = board.enter(jobs[3])

    assert (sorted(full), places[3]) == (sorted(jobs[:3]), -1)
    assert sorted(left) == sorted([jobs[0], jobs[2]])
    assert again == places[1]
    assert sorted(read_board(file)) == sorted([jobs[0], jobs[2], jobs[3]])
    os.close(file)


def test_a_board_that_was_written_over_is_still_read():
    file = anonymous_file()
    board = Board(file)

    assert read_board(file) == []
    board.make_room(2)
    job_id = uuid4()
    board.enter(job_id)
    os.pwrite(file, b"no id", 2 * PLACE)  # five bytes more

    assert read_board(file) == [job_id]
    os.close(file)


@pytest.mark.parametrize(
    ("status", "how"),
    [(3, "exited with status 3"), (-9, "was killed by SIGKILL"), (-99, "was killed by signal 99")],
)
def test_a_death_is_told_in_words(status, how):
    assert Death(status=status, running=()).how == how


async def _pair() -> tuple[Channel, socket.socket]:
    ours, its = socket.socketpair()
    ours.setblocking(False)
    return await channel_on(ours, FromChild), its


async def test_messages_arrive_in_order_and_what_is_none_is_skipped():
    channel, its = await _pair()
    there, _ = (Channel(None, _Writer(its), FromChild), None)
    sent = [
        Hello(settings={"slots": 3}), Registered(worker=uuid4()), Beat(), Groups(ids=(1, 2)),
        Leaving(why="drain"), Status(status={"a": [1]}),
    ]  # fmt: skip

    for message in sent:
        there.send(message)
        its.send(b'{"says": "nonsense"}\nnot for us\n\xff\n')
    its.close()
    got = [await channel.receive() for _ in range(len(sent) + 1)]

    assert got == [*sent, None]
    channel.close()


async def test_a_message_without_an_end_ends_the_channel():
    channel, its = await _pair()

    its.send(b'{"says": "beat"')
    its.close()

    assert await channel.receive() is None
    channel.send(Beat())  # to nobody: in vain
    channel.close()
    await asyncio.sleep(0)


class _Writer:
    def __init__(self, to: socket.socket) -> None:
        self.write = to.send


def test_settings_and_errors_arrive_as_they_were():
    settings = Settings(database_url="postgresql://u:p@h/d", lost_after=7.0, slots=3)
    error = errors.SchemaMismatch("it is old", hint="Mend it.")
    refused = Refused(kind="SchemaMismatch", message=error.message, hint=error.hint)
    odd = Refused(kind="BadArguments", message="m", hint=None).error()

    import msgspec

    decoded = msgspec.json.decode(
        msgspec.json.encode(Go(settings=msgspec.to_builtins(settings))), type=Go
    )
    assert settings_of(decoded) == settings
    assert type(refused.error()) is errors.SchemaMismatch
    assert str(refused.error()) == str(error)
    assert (type(odd), odd.message) == (errors.BadArguments, "m")


@pytest.mark.parametrize(
    ("text", "address"),
    [(None, None), ("8080", ("", 8080)), ("h:1", ("h", 1)), ("[::1]:80", ("::1", 80))],
)
def test_a_port_may_have_a_host(text, address):
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "x", "h:", "70000", "h:-1"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(errors.BadInput):
        address_of(text)


def no_thread_is_left(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_a_child_that_no_thread_can_wait_for_could_not_be_started(monkeypatch):
    child = Child(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread_is_left)
        with pytest.raises(OSError, match="can't start new thread"):
            await child.start(Start(source=Source(app="no:where"), number=1, name="one"))
    child.close()

    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_a_process_that_no_thread_can_wait_for_leaves_no_file_open(monkeypatch):
    process = Pooled(lambda _: None)
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread_is_left)
        with pytest.raises(NoProcess, match="can't start new thread"):
            await process.start(Hello(settings={}))
    await asyncio.sleep(0)

    assert len(os.listdir("/proc/self/fd")) == before
