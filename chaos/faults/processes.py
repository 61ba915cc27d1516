"""Workers are killed, frozen, and restarted in turn."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from chaos.faults.kind import PEACE, Kind
from chaos.workers import STOPPING
from chaos.world import World, between


def send(pids: Iterable[int], number: signal.Signals) -> list[int]:
    """Send all a signal, in one breath; those that were there."""
    reached = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        reached.append(pid)
    return reached


def parent_of(pid: int) -> int:
    """Its parent; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def household(world: World) -> list[int]:
    """Some parent and its children; nobody if there is none."""
    parents = world.workers.parents()
    if not parents:
        return []
    parent = world.random.choice(parents)
    return [parent, *(pid for pid in world.workers.children() if parent_of(pid) == parent)]


class KillChild(Kind):
    """SIGKILL to one child: its parent sees it at once."""

    name, longest = "kill-child", 2.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        children = world.workers.children()
        chosen = world.random.sample(children, min(len(children), round(between(1, 2, dose))))
        seen["killed"] = len(send(chosen, signal.SIGKILL))


class KillParent(Kind):
    """SIGKILL to a parent: its children notice and end, and nobody restarts them."""

    name, longest = "kill-parent", 2.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        seen["killed"] = len(send(household(world)[:1], signal.SIGKILL))


class KillWorker(Kind):
    """SIGKILL to a parent and its children in one breath, as when a machine dies."""

    name, longest = "kill-worker", 2.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        seen["killed"] = len(send(household(world), signal.SIGKILL))


class _Freeze(Kind):
    longest = 20.0

    def chosen(self, world: World) -> list[int]:
        raise NotImplementedError

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        frozen = send(self.chosen(world), signal.SIGSTOP)
        seen["frozen"] = len(frozen)
        try:
            if frozen:
                await asyncio.sleep(between(0.5, 2.0, dose) * world.workers.lost_after)
        finally:
            seen["woken"] = len(send(frozen, signal.SIGCONT))


class FreezeChild(_Freeze):
    """SIGSTOP to a child for half its lease to two of them, then SIGCONT; its parent may act."""

    name = "freeze-child"

    def chosen(self, world: World) -> list[int]:
        children = world.workers.children()
        return [world.random.choice(children)] if children else []


class FreezeWorker(_Freeze):
    """The same to a parent and its children: nobody is left who could act, and all wake together.

    The children wake before their parent, so that they may try to finish what is no longer theirs.
    """

    name = "freeze-worker"

    def chosen(self, world: World) -> list[int]:
        return household(world)[::-1]


class RollingRestart(Kind):
    """SIGTERM to some or all parents, one after the other, each to end in peace."""

    name, longest = "rolling-restart", 4 * (STOPPING + 0.3)

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        parents = world.workers.parents()
        for parent in parents[: max(1, round(between(0.3, 1.0, dose) * len(parents)))]:
            if not send([parent], signal.SIGTERM):
                continue
            status = await world.workers.gone(parent, STOPPING)
            seen["ended" if status in PEACE else "ended badly"] += 1
            await asyncio.sleep(0.3)
