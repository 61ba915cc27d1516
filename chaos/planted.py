"""Does the checker see anything? Plants each defect in short runs, until one is found invalid.

    python -m chaos.planted [DEFECT …] [--tries 4] [--seed 1]

Prints which checks objected. Exit status 1 if a defect was not found, or if the run without one,
which comes first, is not valid.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from chaos.checker import STATUS
from chaos.defects import DEFECTS

ROOT = Path(__file__).parent.parent
WITHIN = 900.0  # seconds for a run and its judge


def main() -> int:
    """Run them one after the other."""
    parser = argparse.ArgumentParser(prog="python -m chaos.planted", description=__doc__)
    parser.add_argument("defects", nargs="*", metavar="DEFECT", default=[*DEFECTS])
    parser.add_argument("--tries", type=int, default=4, help="runs in which it may stay unseen")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    given = parser.parse_args()
    status, counts = _run(given.seed, None)
    print(f"without a defect: {_said(status, counts)}", flush=True)
    failed = status != STATUS["valid"]
    for name in given.defects:
        for seed in range(given.seed, given.seed + given.tries):
            status, counts = _run(seed, name)
            print(f"{name}, seed {seed}: {_said(status, counts)}", flush=True)
            if status == STATUS["invalid"]:
                break
        else:
            failed = True
    return int(failed)


def _run(seed: int, defect: str | None) -> tuple[int, dict[str, int]]:
    """The exit status of a run, and how often each check objected."""
    with tempfile.TemporaryDirectory(prefix="howdah-chaos-") as folder:
        kept = Path(folder) / "run"
        command = [sys.executable, "-m", "chaos.run", "mini", "--seed", str(seed), "--keep", kept]
        planted = [] if defect is None else ["--defect", defect]
        done = subprocess.run(
            [*command, *planted], cwd=ROOT, check=False, timeout=WITHIN,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        verdict = kept / "verdict.json"
        told = json.loads(verdict.read_text())["counts"] if verdict.exists() else {}
    return done.returncode, {name: n for name, n in told.items() if n}


def _said(status: int, counts: dict[str, int]) -> str:
    word = next((word for word, number in STATUS.items() if number == status), f"status {status}")
    return f"{word} {', '.join(f'{name} ({n})' for name, n in counts.items())}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
