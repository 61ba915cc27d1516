"""The scan floor stands on one rule: a transaction has its xid before it draws its first seq."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

DRAWS = {
    file.name: file.read_text("utf-8")
    for file in files("howdah.sql").joinpath("functions").iterdir()
    if "nextval('_howdah.seq')" in file.read_text("utf-8")
}


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_a_function_takes_its_xid_in_a_statement_before_the_one_that_draws(name: str) -> None:
    code = re.sub(r"--.*", "", DRAWS[name])

    before = code[: code.index("nextval('_howdah.seq')")]

    assert re.search(r"(perform |own\s*:= )pg_current_xact_id\(\);", before), before[-300:]


def test_the_functions_that_draw_are_known() -> None:
    assert {"enqueue.sql", "enqueue_batch.sql", "enqueue_unique.sql", "put.sql"} <= DRAWS.keys()
