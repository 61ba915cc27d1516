"""Runs the chaos programme: `python -m chaos.run mini|smoke|soak --seed N`.

A server of its own, workers, producers, a plan of faults that follows from the seed, and then the
checker's verdict. The exit status is the verdict's: 0 valid, 1 invalid, 2 unknown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from chaos import checker
from chaos.catalogue import FAULTS, WEIGHTS, faults_for
from chaos.defects import DEFECTS
from chaos.disk import private_mounts
from chaos.plan import SIZES, Plan, Size, planned
from chaos.stage import Stage

ROOT = Path(__file__).parent.parent
AFTERWARDS = 600.0  # seconds for the dump and the checker, until the watchdog ends it all


def main() -> int:
    """Plan, run, judge."""
    given = _arguments()
    size = SIZES[given.size].scaled(given.scale).slowed(given.slower)
    plan = _plan(given, size)
    kept = given.keep is not None
    folder = Path(given.keep or tempfile.mkdtemp(prefix="howdah-chaos-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    commit = _commit()
    _say_what_it_is(plan, given, folder, commit)
    stage = Stage(folder, size, plan, FAULTS, defect=given.defect, own_mounts=private_mounts())
    stage.facts["commit"] = commit
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of `finally`
    _watch(size.limit + AFTERWARDS, stage)
    try:
        asyncio.run(stage.run())
        status = checker.main(str(folder))
        _report(given, folder)
    except Exception:
        traceback.print_exc()
        status = checker.STATUS["unknown"]
    finally:
        stage.kill()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos.run", description=__doc__)
    parser.add_argument("size", choices=[*SIZES])
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1_000_000))
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the time and the load")
    parser.add_argument("--slower", type=float, default=1.0, help="times the time: a busy machine")
    parser.add_argument("--plan", type=Path, help="a plan that an earlier run printed")
    parser.add_argument("--without", action="append", default=[], metavar="FAULT")
    parser.add_argument("--only", action="append", default=[], metavar="FAULT")
    parser.add_argument(
        "--half", action="append", default=[], choices=["first", "last", "odd", "even"],
        help="keep that half of the faults; may be said again: for shrinking",
    )  # fmt: skip
    parser.add_argument("--defect", choices=[*DEFECTS], help="break it, to see that it is found")
    parser.add_argument("--keep", metavar="FOLDER", help="leave logs, dump and verdict there")
    parser.add_argument("--report", type=Path, help="add the run's figures to that JSON file")
    return parser.parse_args()


def _plan(given: argparse.Namespace, size: Size) -> Plan:
    if given.plan is not None:
        plan = Plan.from_json(given.plan.read_text())
    else:
        faults = [f for f in faults_for(given.size) if not given.only or f.name in given.only]
        plan = planned(given.seed, size, faults, WEIGHTS[given.size])
    plan = plan.without(given.without)
    for half in given.half:
        plan = plan.half(half)
    return plan


def _commit() -> str:
    return subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip


def _say_what_it_is(plan: Plan, given: argparse.Namespace, folder: Path, commit: str) -> None:
    print(f"chaos {given.size}, seed {plan.seed}, commit {commit}, Python {sys.version.split()[0]}")
    if given.defect:
        print(f"planted: {given.defect}: {DEFECTS[given.defect].breaks}")
    text = plan.to_json()
    (folder / "plan.json").write_text(text)
    print(text, flush=True)


def _watch(seconds: float, stage: Stage) -> None:
    """End it all when it hangs: that is no verdict."""

    def end() -> None:
        time.sleep(seconds)
        print("the run hung, and was ended", flush=True)
        stage.kill()
        os._exit(checker.STATUS["unknown"])

    threading.Thread(target=end, daemon=True, name="chaos watchdog").start()


def _report(given: argparse.Namespace, folder: Path) -> None:
    if given.report is not None:
        from chaos import report

        report.add(given.report, folder)


if __name__ == "__main__":
    sys.exit(main())
