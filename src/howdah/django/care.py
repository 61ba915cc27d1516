"""Django's connections around a job, as around a request: those too old, or broken, are closed."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.db.backends.signals import connection_created

from howdah.drivers.django import close_old

_beside = threading.Event()  # coroutine functions have used a connection, in Django's own thread


def _created(**_: Any) -> None:
    """In the thread that opens one: those of jobs are called so, see Threads."""
    if not threading.current_thread().name.startswith("howdah thread"):
        _beside.set()


connection_created.connect(_created, dispatch_uid="howdah care", weak=False)


def cared_for(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with the connections of its thread looked after before it and behind it.

    Each thread has its own. What a coroutine function asks of the database is asked in Django's
    thread; where nothing was ever asked there is nothing to look after.
    """
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            await _look_after()
            try:
                return await function(*args, **kwargs)
            finally:
                await _look_after()

        return awaited

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        close_old()
        try:
            return function(*args, **kwargs)
        finally:
            close_old()

    return called


async def _look_after() -> None:
    if _beside.is_set():
        await sync_to_async(close_old)()
