"""What a child process runs: one worker, which tells its parent how it is.

    python -m howdah.parent.program CHANNEL BOARD PARENT

The numbers of two inherited file descriptors, and the parent's process id. What to run comes
through the channel: nothing secret stands in the command line, where others can read it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from traceback import format_exception_only
from typing import TYPE_CHECKING

import msgspec

from howdah.errors import HowdahError, NoDatabase
from howdah.events import Event, WorkerStarted, WorkerStopped, WorkerStopping, WorkerSwept
from howdah.foreground import Foreground, run_on_a_loop
from howdah.logs import log, write_logs
from howdah.parent.messages import (
    Ask,
    Beat,
    Channel,
    FromParent,
    Go,
    Groups,
    Hello,
    Leaving,
    Left,
    Refused,
    Registered,
    Start,
    Status,
    Stop,
    channel_on,
    settings_of,
)
from howdah.parent.policy import beat_every, quiet_for
from howdah.printable import gist
from howdah.refusals import in_words, is_transient, translated
from howdah.reporter import Reporter
from howdah.settings import LOST_AFTER
from howdah.system import die_with_parent
from howdah.worker import Worker
from howdah.worker.board import Board
from howdah.worker.lifespan import users_frames

if TYPE_CHECKING:
    from howdah.app import App

SWEPT = 75  # exit status of a child whose jobs were given to others
OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def main(channel: int, board: int, parent: int) -> int:
    """Run the worker; gives the exit status."""
    die_with(parent)
    for number in OURS:  # the parent tells; not ignored, or what jobs start would ignore them too
        signal.signal(number, _nothing)
    make_forks_strangers()
    return run_on_a_loop(_main(socket.socket(fileno=channel), Board(board)))


def die_with(parent: int) -> None:
    """Have the kernel kill us when the parent dies (Linux); elsewhere the channel's end does."""
    die_with_parent()
    if os.getppid() != parent:  # it died before we could say so
        os._exit(1)


def _nothing(*_: object) -> None:
    """A signal that comes before there is anything to do about it."""


def make_forks_strangers() -> None:
    """What a job forks is no worker: a signal to it is to be none to us, whose loop it inherits."""
    masks = threading.local()

    def before() -> None:  # none may come before the fork has its own way to take it
        masks.old = signal.pthread_sigmask(signal.SIG_BLOCK, OURS)

    def after_in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.old)

    def after_in_child() -> None:
        with suppress(ValueError, OSError):
            signal.set_wakeup_fd(-1)
            for number in OURS:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.old)

    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )


async def _main(wire: socket.socket, board: Board) -> int:
    channel: Channel[FromParent] = await channel_on(wire, FromParent)
    start = await channel.receive()
    if not isinstance(start, Start):
        return 1
    write_logs(as_json=start.log_json)
    try:
        app = start.source.load()
    except HowdahError as error:
        return await _refused(channel, error, for_now=is_transient(error))
    channel.send(Hello(settings=msgspec.to_builtins(app.settings)))
    while isinstance(go := await channel.receive(), Ask):
        channel.send(Status(status={"waiting_for": "the database"}))
    if not isinstance(go, Go):  # told to stop, or the parent is gone
        return 0
    app.use(settings_of(go))
    try:
        return await Working(app, start, channel, board).run()
    except Exception as error:
        known = _ours(error)
        if known is None:
            raise
        return await _refused(channel, known, for_now=is_transient(error))


def _ours(error: Exception) -> HowdahError | None:
    """What of ours it is; None for one that nobody expects."""
    if isinstance(error, HowdahError):
        return error
    if (known := translated(error)) is not None or not is_transient(error):
        return known
    return NoDatabase(f"the connection was lost: {in_words(error)}", hint="Is the server running?")


async def _refused(
    channel: Channel[FromParent], error: HowdahError, *, for_now: bool = False
) -> int:
    kind = type(error).__name__
    channel.send(Refused(kind=kind, message=error.message, hint=error.hint, for_now=for_now))
    await channel.drained()
    return 1


class Working:
    """A worker at work, the channel to its parent, and what passes between them."""

    def __init__(self, app: App, start: Start, channel: Channel[FromParent], board: Board) -> None:
        self._channel, self._start = channel, start
        if start.http:
            app.use(replace(app.settings, http=True))
        self._lost_after = app.settings.lost_after or LOST_AFTER
        self._worker = Worker(
            app.tasks,
            app.settings,
            app.events,
            queues=start.queues,
            slots=start.slots,
            name=start.name,
            board=board,
            lifespan=None if app.lifespan is None else partial(app.lifespan, app),
            source=lambda: start.source,
            isolate=True,
            declares=app.declares,
            siblings=start.siblings,
        )
        self._worker.tell_groups(self._tell_groups)
        app.events.subscribe(
            Reporter(
                app.settings,
                process=start.number,
                banner=start.banner,
                with_args=start.log_args,
            )
        )
        app.events.subscribe(self._tell)

    async def run(self) -> int:
        """Until the worker has left."""
        foreground = Foreground(self._worker, signals=(signal.SIGTERM,))  # Ctrl-C: see above
        beside = [
            asyncio.create_task(self._beat(), name="howdah beat"),
            asyncio.create_task(self._obey(foreground), name="howdah parent"),
        ]
        try:
            await foreground.run(burst=self._start.burst)
        except Exception as error:
            if error is not self._worker.broken_lifespan or isinstance(error, HowdahError):
                raise
            raise _told_of_lifespan(error) from error
        finally:
            for each in beside:
                each.cancel()
        return 0

    def _tell_groups(self, groups: frozenset[int]) -> None:
        self._channel.send(Groups(ids=tuple(groups)))

    async def _beat(self) -> None:
        while True:
            every = beat_every(self._lost_after)
            quiet = quiet_for(every, self._worker.turns)
            self._channel.send(Beat(quiet=quiet))
            await asyncio.sleep(every + quiet)

    async def _obey(self, foreground: Foreground) -> None:
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, Stop):
                foreground.stop(message.why, hurry=message.hurry)
            elif isinstance(message, Ask):
                self._channel.send(Status(status=msgspec.to_builtins(self._worker.status())))
        os.kill(os.getpid(), signal.SIGKILL)  # the parent is gone

    def _tell(self, event: Event) -> None:
        if isinstance(event, WorkerStarted):
            self._channel.send(Registered(worker=event.worker))
        elif isinstance(event, WorkerStopping):
            self._channel.send(Leaving(why=event.why))
        elif isinstance(event, WorkerStopped) and event.has_left:
            self._channel.send(Left())
        elif isinstance(event, WorkerSwept):  # others run its jobs: nothing of it may go on
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(SWEPT)


def _told_of_lifespan(error: Exception) -> HowdahError:
    """What to tell the parent, after its traceback was written for those who wrote it."""
    frames = (type(error), error, users_frames(error))
    log.error("the app's lifespan broke", exc_info=frames, extra={"event": "lifespan_broke"})
    return HowdahError(
        f"the app's lifespan broke: {gist(''.join(format_exception_only(error)))}",
        hint="Its traceback stands above.",
    )


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
