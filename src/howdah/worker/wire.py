"""The pipe between a process of the pool and its worker, from the process's side."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NoReturn

from howdah.worker.pipe import (
    LONGEST_ANSWER,
    LONGEST_TASK,
    Extend,
    Extended,
    Hello,
    Interrupt,
    Message,
    Perform,
    line,
    read_by_process,
)

TICK = 0.1  # seconds


class Wire:
    """Says and hears, on an event loop in a thread beside the main one, which may be busy."""

    def __init__(
        self,
        pipe: socket.socket,
        heard: Callable[[Perform | Interrupt], None],
        ended: Callable[[], None],
    ) -> None:
        self._pipe, self._heard, self._ended = pipe, heard, ended
        self._loop = asyncio.new_event_loop()
        self._asked: dict[int, Future[Extended]] = {}
        self._asks = 0
        self._ticked, self._starved = 0.0, 0.0
        self._writer: asyncio.StreamWriter

    def begin(self, first: Message) -> None:
        """Say the first word; quiet where the worker died meanwhile: then the pipe ends, too."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.sendall(line(first))

    def listen(self) -> None:
        """From now on."""
        threading.Thread(target=self._live, name="howdah pipe", daemon=True).start()

    def say(self, message: Message) -> bool:
        """In the thread beside: tell the worker; False for what is longer than it would take."""
        said = line(message)
        if len(said) > LONGEST_ANSWER:
            return False
        self._writer.write(said)
        return True

    def ask(self, duration: float) -> Future[Extended]:
        """From any thread: ask for more time."""
        answer: Future[Extended] = Future()
        self.soon(self._ask, duration, answer)
        return answer

    def tick(self, goes_on: Callable[[], bool]) -> None:
        """In the thread beside: note now and then that it gets to run, as long as a job does."""
        if self.is_starved:
            self._starved = time.monotonic()  # whoever asks may come a moment too late
        self._ticked = time.monotonic()
        if goes_on():
            self._loop.call_later(TICK, self.tick, goes_on)
        else:
            self._ticked = 0.0

    @property
    def is_starved(self) -> bool:
        """Whether it did not come to run for a while: the main thread keeps the interpreter."""
        now = time.monotonic()
        return now - (self._ticked or now) > 3 * TICK or now - self._starved < TICK

    def soon(self, do: Callable[..., None], *args: Any) -> None:
        """From any thread: do it in the thread beside."""
        self._loop.call_soon_threadsafe(do, *args)

    def cut(self) -> None:
        """In a fork: its end of the pipe is not for it."""
        with suppress(OSError):
            os.close(self._pipe.fileno())

    def _ask(self, duration: float, answer: Future[Extended]) -> None:
        self._asks += 1
        self._asked[self._asks] = answer
        self.say(Extend(n=self._asks, duration=duration))

    def _live(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._listen())
        except BaseException as error:
            if isinstance(error, OSError) and error.errno == errno.EBADF:
                return  # the job closed what is not its own: the worker has noticed
            traceback.print_exc()
            os._exit(70)

    async def _listen(self) -> NoReturn:
        reader, self._writer = await asyncio.open_unix_connection(
            sock=self._pipe, limit=LONGEST_TASK
        )
        while True:
            text = await reader.readline()
            if not text:
                self._ended()
                await asyncio.Event().wait()
            message = read_by_process(text)
            if isinstance(message, Extended):
                self._asked.pop(message.n).set_result(message)
            elif not isinstance(message, Hello):
                self._heard(message)
