"""Writes docs/chaos-report.md from what runs left: `python -m chaos.report RUNS.json PAGE.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = """# The last chaos runs

What the [chaos programme](../chaos/README.md) did, and what its checker found. This page is written
by `python -m chaos.report`; the figures are seconds where nothing else is said, on a machine shared
with other work.
"""
REPEAT = "python -m chaos.run {size} --seed {seed}"


def add(runs: Path, folder: Path) -> None:
    """Add the run of that folder to the file of all runs."""
    known = json.loads(runs.read_text()) if runs.exists() else []
    facts = json.loads((folder / "facts.json").read_text())
    verdict = json.loads((folder / "verdict.json").read_text())
    waits = sorted(facts.pop("probes", ()))
    facts["slowest probe"] = round(waits[-1], 4) if waits else None
    known.append({"facts": facts, **verdict})
    runs.write_text(json.dumps(known, indent=1) + "\n")


def page(runs: list[dict[str, Any]]) -> str:
    """The whole page."""
    parts = [HEAD]
    for run in runs:
        parts += ["\n".join(_section(run))]
    return "\n".join(parts)


def _section(run: dict[str, Any]) -> Iterator[str]:
    facts, figures = run["facts"], run["figures"]
    size = facts["size"]
    planted = f", planted: {facts['defect']}" if facts["defect"] else ""
    yield f"## {size['name']}, seed {facts['seed']}{planted}: {run['verdict']}\n"
    yield (
        f"Commit {facts.get('commit', 'unknown')}, PostgreSQL {facts['postgresql']}, "
        f"Python {facts['python']}, {facts['took']:.0f} s; "
        f"drained {facts.get('drained in', float('nan')):.1f} s after the last fault was healed. "
        f"Repeat: `{REPEAT.format(size=size['name'], seed=facts['seed'])}`\n"
    )
    yield "| | |\n|---|---|"
    yield from _rows(figures)
    yield f"| slowest lone job once all was healed | {facts['slowest probe']} |"
    yield ""
    yield "| check | violations |\n|---|---|"
    for name, n in run["counts"].items():
        yield f"| {name} | {n} |"
    for what in run["missing"]:
        yield f"\nToo little: {what}."
    yield ""
    yield from _faults(figures)
    yield ""


def _rows(figures: dict[str, Any]) -> Iterator[str]:
    asked = figures["enqueued"]
    yield f"| jobs acknowledged | {asked.get('ok', 0):,} |"
    yield f"| enqueues that failed, or were rolled back | {asked.get('fail', 0):,} |"
    unknown, recovered = asked.get("info", 0), figures["recovered"]
    yield f"| enqueues of which nobody knew; of these there | {unknown:,}; {recovered:,} |"
    states = figures["states"]
    named = (("S", "succeeded"), ("F", "failed"), ("s", "scheduled for much later"))
    yield f"| ended as | {', '.join(f'{states.get(k, 0):,} {name}' for k, name in named)} |"
    starts, again = figures["starts"], figures["runs again"]
    yield f"| runs; of these not the first of their job | {starts:,}; {again:,} |"
    yield f"| effects of transactional jobs | {figures['effects']:,} |"
    yield f"| late finishes refused | {figures['refused']:,} |"
    outcomes = ", ".join(f"{name} {n:,}" for name, n in sorted(figures["attempts"].items()))
    yield f"| attempts that did not count | {outcomes} |"
    overlaps = ", ".join(f"{name} {n:g}" for name, n in sorted(figures["longest overlap"].items()))
    yield f"| longest time that two runs of one job overlapped | {overlaps or 'none did'} |"


def _faults(figures: dict[str, Any]) -> Iterator[str]:
    yield (
        "| fault | with effect | without | seen | any job starts: p50 | p99 | max "
        "| its own again: p50 | p99 | max |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, kind in figures["faults"].items():
        seen = ", ".join(f"{what} {n:,}" for what, n in kind["seen"].items() if n)
        waits = figures["recovery"].get(name, {})
        times = [
            f"{waits[what][at]:.2f}" if what in waits else ""
            for what in ("any", "affected")
            for at in ("p50", "p99", "max")
        ]
        absent = f", {kind['absent']} not possible here" if kind["absent"] else ""
        yield f"| {name} | {kind['real']} | {kind['vain']}{absent} | {seen} | {' | '.join(times)} |"


def main(runs: str, target: str) -> None:
    """Write the page."""
    Path(target).write_text(page(json.loads(Path(runs).read_text())))


if __name__ == "__main__":
    main(*sys.argv[1:3])
