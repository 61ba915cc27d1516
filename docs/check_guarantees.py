"""Runs every test that docs/guarantees.md and docs/regressions.md name, and says which did not pass.

A test that was skipped, or of which nothing ran, counts as not passed. Long proofs (†) run with
`--long`. Used by `make guarantees`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[1]
ID = re.compile(r"`([\w/]+\.py)::(test_\w+)`(†?)")


def named(*, long: bool) -> set[tuple[str, str]]:
    """File and function of each test that is named."""
    text = "".join(
        (ROOT / "docs" / name).read_text("utf-8") for name in ("guarantees.md", "regressions.md")
    )
    return {(file, test) for file, test, dagger in ID.findall(text) if bool(dagger) == long}


def outcomes(
    ids: set[tuple[str, str]], *, long: bool, options: list[str]
) -> dict[tuple[str, str], set[str]]:
    """How each of them went, all its cases together."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-m",
                "slow" if long else "not slow",
                f"--junitxml={report}",
                *options,
                *sorted(f"tests/{file}::{test}" for file, test in ids),
            ],
            cwd=ROOT,
            check=False,
        )
        if not report.exists():
            sys.exit("pytest wrote no report, so nothing is known of any test: see above for why")
        cases = ET.parse(report).iter("testcase")
        found: dict[tuple[str, str], set[str]] = {each: set() for each in ids}
        for case in cases:
            file = case.get("classname", "").removeprefix("tests.").replace(".", "/") + ".py"
            said = {child.tag for child in case} & {"failure", "error", "skipped"}
            found.setdefault((file, case.get("name", "").partition("[")[0]), set()).update(
                said or {"passed"}
            )
    return found


def main() -> int:
    """0 when all passed."""
    long = "--long" in sys.argv
    options = [each for each in sys.argv[1:] if each != "--long"]
    if long:  # they measure: one at a time
        options += ["-n", "0"]
    found = outcomes(named(long=long), long=long, options=options)
    bad = {each: how for each, how in found.items() if how != {"passed"}}
    for (file, test), how in sorted(bad.items()):
        print(f"tests/{file}::{test}: {', '.join(sorted(how)) or 'did not run'}")
    print(f"{len(found) - len(bad)} of {len(found)} named tests passed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
