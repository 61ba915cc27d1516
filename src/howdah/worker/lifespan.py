"""What an app opens once per process, before its first job, and closes after its last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from howdah.errors import BadInput

NOT_THE_USERS = (str(Path(__file__).parents[1]), contextlib.__file__)  # where frames come from
AnyContextManager = AbstractAsyncContextManager[Any] | AbstractContextManager[Any]


class Lifespan:
    """Enters a context manager, async or not, and leaves it, both in one asyncio task of its own:
    what was opened there (a task group, a timeout) has to be closed by the task that opened it.

    Attributes:
        broke: what entering or leaving it raised.
    """

    def __init__(self, make: Callable[[], AnyContextManager] | None) -> None:
        self._make = make
        self.broke: Exception | None = None
        self._opened: asyncio.Future[Any] | None = None
        self._end = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> Any:
        """What it yields, None without one; raises what it raises."""
        if self._make is None:
            return None
        self._opened = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(self._make, self._opened), name="lifespan")
        try:
            await asyncio.wait({self._task, self._opened}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self._task.cancel()
            raise
        if self._opened.done():
            return self._opened.result()
        task, self._task = self._task, None
        task.result()
        raise RuntimeError("the lifespan ended before it yielded")

    @property
    def has_ended(self) -> bool:
        """Whether it was left by itself (a task in its task group failed, say), and before `close`:
        what it had opened is closed."""
        return self._task is not None and self._task.done()

    async def ended(self) -> None:
        """Wait until it was left by itself: as a rule for ever."""
        await asyncio.wait({self._task or asyncio.get_running_loop().create_future()})

    async def close(self) -> None:
        """Leave it; raises what that raises."""
        self._end.set()
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def _live(
        self, make: Callable[[], AnyContextManager], opened: asyncio.Future[Any]
    ) -> None:
        try:
            manager = _checked(make())
            if isinstance(manager, AbstractAsyncContextManager):
                async with manager as resources:
                    opened.set_result(resources)
                    await self._end.wait()
            else:
                with manager as resources:
                    opened.set_result(resources)
                    await self._end.wait()
        except Exception as error:
            when = "after the last job" if opened.done() else "before the first job"
            error.add_note(f"(in the app's lifespan, {when})")
            self.broke = error
            raise


def _checked(manager: object) -> Any:
    if isinstance(manager, AbstractAsyncContextManager | AbstractContextManager):
        return manager
    kind = type(manager).__name__
    raise BadInput(
        f"the app's lifespan gives {kind}, which is no context manager",
        hint="Decorate the function with @contextlib.asynccontextmanager, or @contextmanager.",
    )


def users_frames(error: Exception) -> TracebackType | None:
    """Its traceback from the user's first frame on; None where none of it is the user's."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(NOT_THE_USERS):
        frames = frames.tb_next
    return frames
