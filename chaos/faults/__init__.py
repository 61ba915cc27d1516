"""Everything that goes wrong in a chaos run, a kind of harm per class."""

from __future__ import annotations

from chaos.faults.clocks import ClockSteps
from chaos.faults.data import HostileRows, NotifyFlood
from chaos.faults.disks import FullDisk
from chaos.faults.failover import Promotion
from chaos.faults.grants import RevokedGrant
from chaos.faults.poolers import PoolerKilled, PoolerPaused, PoolerReconnects
from chaos.faults.processes import (
    FreezeChild,
    FreezeWorker,
    KillChild,
    KillParent,
    KillWorker,
    RollingRestart,
)
from chaos.faults.roads import Blackhole, Cut, EatAnswers, OneWay, Slow, Trickle
from chaos.faults.servers import (
    FastRestart,
    ImmediateRestart,
    KillBackend,
    KillPostmaster,
    ReadOnlySpell,
)
from chaos.faults.sessions import (
    CancelStorm,
    ConnectionStorm,
    HeldSnapshot,
    IdleWriter,
    KillListeners,
    LockSpell,
    TerminateStorm,
)
from chaos.world import Fault

ALL: tuple[Fault, ...] = (
    KillChild(), KillParent(), KillWorker(), FreezeChild(), FreezeWorker(), RollingRestart(),
    KillBackend(), KillPostmaster(), ImmediateRestart(), FastRestart(), ReadOnlySpell(),
    TerminateStorm(), CancelStorm(), KillListeners(), HeldSnapshot(), IdleWriter(), LockSpell(),
    ConnectionStorm(), Cut(), Blackhole(), OneWay(), Slow(), Trickle(), EatAnswers(),
    HostileRows(), NotifyFlood(), RevokedGrant(), FullDisk(), ClockSteps(), Promotion(),
    PoolerKilled(), PoolerPaused(), PoolerReconnects(),
)  # fmt: skip
