"""Judges a run by what it left behind: `python -m chaos.checker FOLDER`.

Exit status 0: valid. 1: invalid, a promise was broken. 2: unknown, too little happened to tell.
Imports nothing of howdah.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos import flow_invariants, invariants, liveness
from chaos.history import History, read

SHOWN = 5  # examples of each violation
STATUS = {"valid": 0, "invalid": 1, "unknown": 2}
Check = Callable[[History], Iterator[str]]

CHECKS: dict[str, Check] = {
    "I1 lost": invariants.lost,
    "I2 unexpected": invariants.unexpected,
    "I3 effects": invariants.effects,
    "I5 stale ack": invariants.stale_acks,
    "I6 overlap": invariants.overlaps,
    "I7 at most once": invariants.at_most_once,
    "I8 in turn": invariants.in_turn,
    "I9 unique": invariants.unique,
    "I10 attempts": invariants.attempts,
    "I11 early": invariants.early,
    "I12 states": invariants.states,
    "I13 conservation": invariants.conservation,
    "I14 ticks": flow_invariants.ticks,
    "I15 flows": flow_invariants.flows,
    "I16 server log": invariants.server_log,
    "I18 limits": invariants.limited,
    "L1 drained": liveness.drained,
    "L2 prompt": liveness.prompt,
    "L3 no worker left": liveness.stayed,
}


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What is to be said of a run."""

    word: str
    violations: dict[str, list[str]] = field(default_factory=dict)  # a few of each
    counts: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # why it is unknown
    figures: dict[str, object] = field(default_factory=dict)


def judge(history: History) -> Verdict:
    """Check everything."""
    violations, counts = {}, {}
    for name, check in CHECKS.items():
        found = [*check(history)]
        counts[name] = len(found)
        if found:
            violations[name] = found[:SHOWN]
    missing = [*liveness.too_little(history)]
    word = "invalid" if violations else "unknown" if missing else "valid"
    return Verdict(
        word=word, violations=violations, counts=counts, missing=missing, figures=figures(history)
    )


def figures(history: History) -> dict[str, object]:
    """What a reader will want to know, whatever the verdict."""
    asked = Counter(one.status for one in history.asked.values())
    states = Counter(job.state for job in history.jobs.values())
    by_key = history.by_key()
    recovered = sum(one.status == "info" and key in by_key for key, one in history.asked.items())
    starts = sum(map(len, history.starts.values()))
    return {
        "enqueued": dict(asked),
        "recovered": recovered,
        "states": dict(states),
        "starts": starts,
        "runs again": starts - len(history.starts),
        "effects": len(history.effects),
        "refused": history.refused,
        "acked in SQL": len(history.acked),
        "attempts": dict(Counter(row.outcome for row in history.attempts)),
        "ticks": len(history.ticks),
        "flows": dict(Counter(flow.state for flow in history.flows)),
        "longest overlap": invariants.longest_overlaps(history, by_key),
        "recovery": liveness.recovery(history),
        "faults": liveness.injected(history),
    }


def main(folder: str) -> int:
    """Judge the run of that folder, say so, and keep the verdict beside it."""
    history = read(Path(folder))
    verdict = judge(history)
    facts = {
        "verdict": verdict.word, "violations": verdict.violations, "counts": verdict.counts,
        "missing": verdict.missing, "figures": verdict.figures,
    }  # fmt: skip
    (Path(folder) / "verdict.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"verdict: {verdict.word}")
    for name, examples in verdict.violations.items():
        print(f"  {name}: {verdict.counts[name]}")
        for example in examples:
            print(f"    {example}")
    for what in verdict.missing:
        print(f"  too little: {what}")
    return STATUS[verdict.word]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
