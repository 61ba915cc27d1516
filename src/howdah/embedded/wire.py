"""Just enough of PostgreSQL's protocol to ask a server on a socket whether it is ready.

No driver is needed for it, and no event loop, so that any process can look at any time. The
messages are those of "Message Formats" in PostgreSQL's manual, protocol 3.0.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER = "howdah"
PORT = 5432
PROTOCOL = 196608

CANNOT_CONNECT_NOW = "57P03"
NO_SUCH_DATABASE = "3D000"
DUPLICATE_DATABASE = "42P04"
UNREACHABLE = "08001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said: its version once it let us in, else the SQLSTATE of its refusal."""

    version: str | None = None
    refusal: str | None = None
    message: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether the server takes connections, though perhaps not this one."""
        return self.refusal not in (CANNOT_CONNECT_NOW, UNREACHABLE)


def ask(socket_dir: Path, database: str, *, query: str | None = None, timeout: float = 5) -> Answer:
    """Connect, run the query if there is one, and hang up; nobody there is an answer, too."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(socket_dir / f".s.PGSQL.{PORT}"))
            return _talk(connection, database, query)
    except (OSError, struct.error) as error:
        return Answer(refusal=UNREACHABLE, message=str(error))


def _talk(connection: socket.socket, database: str, query: str | None) -> Answer:
    connection.sendall(_startup(database))
    answer = _listen(connection)
    if query is not None and answer.refusal is None:
        connection.sendall(_message(b"Q", query.encode() + b"\0"))
        answer = _listen(connection)
    connection.sendall(_message(b"X", b""))
    return answer


def _startup(database: str) -> bytes:
    parameters = f"user\0{USER}\0database\0{database}\0application_name\0howdah embedded\0\0"
    return _message(b"", struct.pack("!i", PROTOCOL) + parameters.encode())


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _listen(connection: socket.socket) -> Answer:
    """Read up to "ready for query", or to the error after which the server hangs up."""
    answer = Answer()
    for kind, body in _messages(connection):
        if kind == b"S":
            name, value, *_ = body.split(b"\0")
            if name == b"server_version":
                answer = Answer(version=value.decode())
        elif kind == b"E":
            fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0")}
            return Answer(refusal=fields.get(b"C", ""), message=fields.get(b"M", ""))
        elif kind == b"Z":
            break
    return answer


def _messages(connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    while True:
        kind, length = struct.unpack("!ci", _exactly(connection, 5))
        yield kind, _exactly(connection, length - 4)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionError("the server hung up")
        data += chunk
    return data
