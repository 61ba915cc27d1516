"""A TCP road to a server that can be cut, go dead, be slow, or lose answers.

The bytes pass through a process of its own (relay.py), so that it is fast, and its faults strike
even while whoever ordered them is busy.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

RELAY = Path(__file__).with_name("relay.py")
Direction = Literal["to_server", "to_client"]
BOTH: tuple[Direction, Direction] = ("to_server", "to_client")


class Proxy:
    """A road from a port of its own on 127.0.0.1 to a server's Unix socket, or host and port.

    Orders give the number of connections that they concern. All may be given from any event loop.
    """

    host = "127.0.0.1"

    def __init__(self, target: Path | tuple[str, int], *, port: int = 0) -> None:
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", RELAY, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port: int = self._read()["port"]
        self._ask("target", where=_where(target))

    @property
    def pid(self) -> int:
        """The process through which the bytes pass."""
        return self._process.pid

    def dsn(self, database: str = "howdah", user: str = "howdah") -> str:
        """A URL that leads over this road."""
        return f"postgresql://{user}@{self.host}:{self.port}/{database}?sslmode=disable"

    async def lead_to(self, target: Path | tuple[str, int]) -> int:
        """Lead new connections elsewhere; those that are open stay where they are."""
        return await self._do("target", where=_where(target))

    async def cut(self, share: float = 1.0) -> int:
        """Reset a share of the connections."""
        return await self._do("cut", share=share)

    async def hold(self, directions: Sequence[Direction] = BOTH) -> int:
        """Let nothing pass, and tell nobody: a black hole, or with one direction half of one."""
        return await self._do("hold", directions=[*directions])

    async def let_go(self, *, drop: bool) -> int:
        """End a hold; with `drop` what was connected is reset, else the bytes held back go on."""
        return await self._do("let_go", drop=drop)

    async def delay(self, low: float, high: float) -> int:
        """Let all that passes take so many seconds, each way."""
        return await self._do("delay", low=low, high=high)

    async def trickle(self, rate: float) -> int:
        """Let pass so many bytes a second on each connection, each way; 0 for no limit."""
        return await self._do("trickle", rate=rate)

    async def eat(self, answers: int) -> int:
        """Lose the next answers: the server has done what was asked, and the client sees a reset.

        Only answers that say a statement is done and no transaction is open. 0 to stop it.
        """
        return await self._do("eat", n=answers)

    async def refuse(self, on: bool) -> int:
        """Reset whoever connects, or no longer."""
        return await self._do("refuse", on=on)

    async def counts(self) -> dict[str, int]:
        """Connections `open`, `accepted` in all, `refused`, `unreachable`, answers `eaten`;
        bytes `to_server` and `to_client`."""
        return await self._do("counts")

    @asynccontextmanager
    async def held(
        self, directions: Sequence[Direction] = BOTH, *, drop: bool = True
    ) -> AsyncIterator[int]:
        """Hold for the length of a block."""
        n = await self.hold(directions)
        try:
            yield n
        finally:
            await self.let_go(drop=drop)

    def close(self) -> None:
        """End the process, and with it all that was connected."""
        if self._process.poll() is None:
            assert self._process.stdin
            self._process.stdin.close()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    async def _do(self, order: str, **how: Any) -> Any:
        return await asyncio.to_thread(self._ask, order, **how)

    def _ask(self, order: str, **how: Any) -> Any:
        with self._turn:
            assert self._process.stdin
            self._process.stdin.write(json.dumps({"do": order, **how}) + "\n")
            self._process.stdin.flush()
            return self._read()["answer"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise ConnectionError(f"the relay (pid {self._process.pid}) is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _where(target: Path | tuple[str, int]) -> dict[str, Any]:
    if isinstance(target, Path):
        return {"path": str(target)}
    return {"host": target[0], "port": target[1]}
