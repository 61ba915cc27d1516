"""The broken builds can still be built, and the checks that are to see them are there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mutants.run import ALL

ROOT = Path(__file__).parents[2]
each = pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.number)


@each
def test_what_a_mutant_changes_is_in_the_code(mutant, tmp_path):
    for path in {edit.path for edit in mutant.edits}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)

    for edit in mutant.edits:
        edit.apply(tmp_path)


@each
def test_the_check_that_sees_a_mutant_is_there(mutant):
    file, _, test = mutant.check.split("[")[0].partition("::")

    assert (ROOT / file).exists()
    assert not test or f"def {test}(" in (ROOT / file).read_text()
