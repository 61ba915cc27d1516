"""The faults that plans draw from, and how often each is drawn."""

from __future__ import annotations

from chaos.kills import Freeze, KillChild
from chaos.poison import HogJob, PoisonJob
from chaos.world import Fault

_ALL: tuple[Fault, ...] = (KillChild(), Freeze(), PoisonJob(), HogJob())
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
WEIGHTS: dict[str, float] = {"poison job": 0.3, "hog job": 0.3}
