"""The kinds of connections that a transactional task may be given: how each is opened and ended.

All are awaited. What a kind for plain functions does inside simply blocks the thread that asked.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, TypeVar

from howdah.call import Call
from howdah.doors import on
from howdah.settings import Settings

T = TypeVar("T")
RESET = "select pg_advisory_unlock_all(); close all; unlisten *; reset all; discard temp"


class Transaction(ABC):
    """A connection, and the transaction that is open on it from `begin` on.

    Attributes:
        connection: what the task is given.
    """

    def __init__(self, connection: Any, schema: str) -> None:
        self.connection = connection
        self.door: Any = on(connection, schema=schema)

    @property
    @abstractmethod
    def is_lost(self) -> bool:
        """Whether the driver knows that the connection is gone."""

    async def begin(self) -> None:  # noqa: B027 - most drivers begin with the first statement
        """Begin."""

    @abstractmethod
    async def run(self, call: Call[T]) -> T:
        """Run a call in the transaction."""

    @abstractmethod
    async def commit(self) -> None:
        """Commit; what the server refuses at commit is raised."""

    @abstractmethod
    async def rollback(self) -> None:
        """Roll back."""

    @abstractmethod
    async def give_back(self) -> None:
        """Leave the connection, which is in no transaction, for the next job, as good as new."""

    @abstractmethod
    async def drop(self) -> None:
        """Close the connection, in whatever state it is; never raises for one that is gone."""


class PlainTransaction(Transaction):
    """One whose driver blocks."""

    async def run(self, call: Call[T]) -> T:
        """Run a call in the transaction."""
        result: T = self.door.run(call)
        return result

    async def commit(self) -> None:
        """Commit."""
        self.connection.commit()

    async def rollback(self) -> None:
        """Roll back."""
        self.connection.rollback()


class AwaitedTransaction(Transaction):
    """One whose driver awaits."""

    async def run(self, call: Call[T]) -> T:
        """Run a call in the transaction."""
        result: T = await self.door.run(call)
        return result

    async def commit(self) -> None:
        """Commit."""
        await self.connection.commit()

    async def rollback(self) -> None:
        """Roll back."""
        await self.connection.rollback()


class Kind(ABC):
    """Opens connections of one kind in this process."""

    def __init__(self, settings: Settings, size: int) -> None:
        self.settings, self.size = settings, size
        self.name = f"howdah worker {os.getpid()} transactions"

    @abstractmethod
    async def open(self) -> Transaction:
        """A connection, new or used; its transaction has not begun."""

    async def close(self) -> None:  # noqa: B027 - some keep nothing
        """Close those that nobody uses."""


def kind_of(name: str, settings: Settings, size: int, *, is_async: bool) -> Kind:
    """The kind of that name, for coroutine functions or for plain ones."""
    module = import_module(f"howdah.worker.connections.{name}")
    kind: type[Kind] = module.Awaited if is_async else module.Plain
    return kind(settings, size)
