"""What a parent and its child tell each other: values, one JSON line each."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from howdah import errors
from howdah.settings import Settings
from howdah.source import Source

LONGEST = 1 << 24  # bytes of one message


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="says"):
    """One of those below."""


# From the parent


class Start(Message, frozen=True, kw_only=True, tag="start"):
    """What to run: always the first."""

    source: Source
    number: int
    name: str
    siblings: int = 1
    queues: tuple[str, ...] | None = None
    slots: int | None = None
    burst: bool = False
    http: bool = False
    banner: bool = True
    log_json: bool = False
    log_args: bool = False


class Go(Message, frozen=True, kw_only=True, tag="go"):
    """Connect and work, with these settings: the parent may know better where the database is."""

    settings: dict[str, Any]


class Stop(Message, frozen=True, kw_only=True, tag="stop"):
    """Claim no more, let running jobs end, leave; with `hurry` hand them back at once."""

    why: str
    hurry: bool = False


class Ask(Message, frozen=True, kw_only=True, tag="ask"):
    """Say how you are."""


# From the child


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """The app is loaded; these are its settings."""

    settings: dict[str, Any]


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """It cannot work: the error, by its class in howdah.errors; `for_now`: but soon, perhaps."""

    kind: str
    message: str
    hint: str | None = None
    for_now: bool = False

    def error(self) -> errors.HowdahError:
        """The error again."""
        kind = getattr(errors, self.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, errors.HowdahError)):
            kind = errors.HowdahError
        error: errors.HowdahError = kind.__new__(kind, self.message)
        error.message, error.hint = self.message, self.hint
        return error


class Registered(Message, frozen=True, kw_only=True, tag="registered"):
    """The store knows this child as that worker, and it claims from now on."""

    worker: UUID


class Beat(Message, frozen=True, kw_only=True, tag="beat"):
    """My loop turns; I am asleep, and will be quiet for so many seconds."""

    quiet: float = 0.0


class Groups(Message, frozen=True, kw_only=True, tag="groups"):
    """The process groups that are to die with this child."""

    ids: tuple[int, ...]


class Leaving(Message, frozen=True, kw_only=True, tag="leaving"):
    """It stops, and why: "stop", "drain", "kill", "burst" …"""

    why: str


class Left(Message, frozen=True, kw_only=True, tag="left"):
    """The store has taken its leave: nothing of it is to be brought back."""


class Status(Message, frozen=True, kw_only=True, tag="status"):
    """The answer to Ask."""

    status: dict[str, Any]


FromParent = Start | Go | Stop | Ask
FromChild = Hello | Refused | Registered | Beat | Groups | Leaving | Left | Status
T = TypeVar("T")


class Channel(Generic[T]):
    """One end of the socket between them; `kind` is what comes in."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Any
    ) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = msgspec.json.Decoder(kind)

    def send(self, message: Message) -> None:
        """Send it soon; to an end that is gone, in vain."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def receive(self) -> T | None:
        """The next message; None when the other end is gone.

        What is none, such as what a job wrote to a file descriptor that is not its own, is skipped.
        """
        while True:
            try:
                line = await self._reader.readline()
            except (OSError, ValueError):
                return None
            if not line.endswith(b"\n"):
                return None
            with contextlib.suppress(msgspec.DecodeError):
                message: T = self._decoder.decode(line)
                return message

    async def drained(self) -> None:
        """Wait until what was sent is on its way."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def close(self) -> None:
        """No more."""
        self._writer.close()


async def channel_on(socket: Any, kind: Any) -> Channel[Any]:
    """A channel on a connected socket."""
    reader, writer = await asyncio.open_connection(sock=socket, limit=LONGEST)
    return Channel(reader, writer, kind)


def settings_of(message: Hello | Go) -> Settings:
    """The settings in it."""
    return msgspec.convert(message.settings, Settings)
