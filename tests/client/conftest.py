"""What the client's tests share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest


async def _until(condition: Callable[[], Any], *, within: float = 10.0) -> Any:
    """Wait for a condition, sync or async, and give what it said; fails after the deadline."""
    deadline = time.monotonic() + within
    while True:
        said = condition()
        if isinstance(said, Awaitable):
            said = await said
        if said:
            return said
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """Wait for a condition with a deadline."""
    return _until
