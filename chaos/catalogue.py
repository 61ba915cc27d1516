"""The faults that plans draw from, and how often each is drawn."""

from __future__ import annotations

from chaos.kills import Freeze, KillChild
from chaos.world import Fault

FAULTS: dict[str, Fault] = {fault.name: fault for fault in (KillChild(), Freeze())}
WEIGHTS: dict[str, float] = {}
