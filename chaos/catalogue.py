"""The faults that plans draw from, and how often each is drawn once all had their turn."""

from __future__ import annotations

from chaos.faults import ALL
from chaos.poison import HogJob, PoisonJob
from chaos.producers import KillProducer
from chaos.world import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault for fault in (*ALL, PoisonJob(), HogJob(), KillProducer())
}
# Those that are over soon come often; 1 where nothing is said.
_OFTEN: dict[str, float] = {
    "cut": 5, "eat-answers": 4, "kill-producer": 4, "kill-listeners": 3, "pooler-reconnects": 3,
    "cancel-storm": 2, "terminate-storm": 2, "kill-child": 2, "kill-worker": 1.5,
    "kill-backend": 0.8, "clock-steps": 0.3, "revoked-grant": 0.3, "rolling-restart": 0.3,
    "full-disk": 0.3, "held-snapshot": 0.3, "poison-job": 0.3, "hog-job": 0.3,
}  # fmt: skip
WEIGHTS: dict[str, dict[str, float]] = {
    "mini": _OFTEN,
    "smoke": {**_OFTEN, "promotion": 0.0},
    "soak": {**_OFTEN, "promotion": 0.8},
}
# What a minute has room for.
_SOON = {
    "kill-child", "kill-worker", "kill-backend", "cut", "terminate-storm", "cancel-storm",
    "eat-answers", "kill-producer", "kill-listeners",
}  # fmt: skip


def faults_for(size: str) -> list[Fault]:
    """Those that runs of a size know."""
    return [f for f in FAULTS.values() if size != "mini" or f.name in _SOON]
