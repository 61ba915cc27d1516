"""Builds each mutant, runs the check that must see it, and says what came of it.

    python -m mutants.run                all of them
    python -m mutants.run --only 7,13    some
    python -m mutants.run --model        those of the store against the model, too

Exits with 1 if one survived, is stale, or could not be told from a check that fails anyway.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutants.mutant import MODEL, Mutant, Stale
from mutants.of_flows import MUTANTS as OF_FLOWS
from mutants.of_the_store import MUTANTS as OF_THE_STORE
from mutants.of_the_worker import MUTANTS as OF_THE_WORKER

ROOT = Path(__file__).parents[1]
ALL = sorted(
    OF_THE_STORE + OF_THE_WORKER + OF_FLOWS,
    key=lambda m: (int(re.match(r"\d+", m.number)[0]), m.number),
)
COPIED = ("src", "tests", "pyproject.toml", "README.md")
IN_SHORT = {"HOWDAH_PROOF_EXAMPLES": "100", "HOWDAH_PROOF_STEPS": "50", "HOWDAH_PROOF_QUICK": "1"}
FORMS = "bcdefg"  # which a number alone stands for, too
WITHIN = 300.0  # seconds for one check: to hang is to fail
MODEL_WITHIN = 3600.0  # all machines of the model, none of which stops before its budget is spent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="numbers, with commas between them")
    parser.add_argument("--model", action="store_true", help="show the store's to the model, too")
    asked = parser.parse_args()
    only = {number for number in asked.only.split(",") if number}
    chosen = [m for m in ALL if not only or m.number in only or m.number.rstrip(FORMS) in only]
    if unknown := only - {m.number for m in ALL} - {m.number.rstrip(FORMS) for m in ALL}:
        print(f"there is no mutant {', '.join(sorted(unknown))}; there are "
              f"{', '.join(m.number for m in ALL)}")  # fmt: skip
        return 1
    with tempfile.TemporaryDirectory(prefix="howdah-mutants-") as folder:
        return _tried(chosen, Path(folder), with_model=asked.model)


def _tried(chosen: list[Mutant], folder: Path, *, with_model: bool) -> int:
    checks = list(dict.fromkeys(m.check for m in chosen)) + [MODEL] * with_model
    sound = _tree(folder / "sound")
    fails, said = _fails(sound, *checks, most=None)
    if fails or not said:
        print(f"the checks are not green on the sound tree: {said or 'they did not run'}")
        return 1
    print(f"{len(checks)} checks are green on the sound tree; {len(chosen)} mutants")
    escaped = 0
    for mutant in chosen:
        began = time.monotonic()
        verdict, is_caught = _verdict(mutant, folder, with_model=with_model)
        escaped += not is_caught
        took = time.monotonic() - began
        print(f"{mutant.number:>4}  {mutant.name}\n      {verdict}  [{took:.0f} s]", flush=True)
    print(f"{len(chosen) - escaped} of {len(chosen)} caught")
    return 1 if escaped else 0


def _verdict(mutant: Mutant, folder: Path, *, with_model: bool) -> tuple[str, bool]:
    tree = _tree(folder / "broken")
    try:
        for edit in mutant.edits:
            edit.apply(tree)
    except Stale as stale:
        return f"STALE: {stale}", False
    fails, said = _fails(tree, mutant.check)
    verdict = f"seen by {said}" if fails else f"SURVIVED {mutant.check}{said and ': ' + said}"
    if with_model and mutant.is_sql:
        in_model, by = _fails(tree, MODEL, most=MODEL_WITHIN)
        verdict += f"; and by {by}" if in_model else f"; not by the model{by and ': ' + by}"
    return verdict, fails


def _tree(place: Path) -> Path:
    """A copy of what the checks need, without the last one's remains."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in COPIED:
        source, target = ROOT / name, place / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return place


def _fails(tree: Path, *checks: str, most: float | None = WITHIN) -> tuple[bool, str]:
    """Whether a check fails, as a test fails and not for want of a server or a name; and which."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-m", ""]
    command += [*checks] if most is None else [*checks, "-x"]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1",
                   "COLUMNS": "400"}  # fmt: skip
    if MODEL in checks:
        environment |= IN_SHORT
    with tempfile.TemporaryFile("w+") as output:
        try:
            done = subprocess.run(
                command, cwd=tree, env=environment, stdout=output, stderr=subprocess.STDOUT,
                timeout=most, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return True, f"{checks[0]}, which hangs"
        output.seek(0)
        text = output.read()
    failed = re.findall(r"^FAILED (.+)", text, re.MULTILINE)  # errors of a fixture are no sight
    if done.returncode == 1 and failed:
        return True, failed[0][:240]
    passed = re.search(r"\d+ passed", text)
    if done.returncode == 0 and passed:
        return False, passed[0] if most is None else ""
    return False, f"nothing could be told (pytest gave {done.returncode}): {text.strip()[-300:]}"


if __name__ == "__main__":
    sys.exit(main())
