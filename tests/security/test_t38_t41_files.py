"""T38, T41: what we put on disk is nobody else's; and no switch of the tests is in the package.

Sockets: tests/embedded/test_embedded_places.py. The wheel: tests/packaging/test_built_packages.py.
"""

from __future__ import annotations

import ast
import os
import re
import stat
from importlib.resources import files
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

import howdah
from howdah.worker.board import anonymous_file

# Settings that functions may look at: those of the server's that matter to what they do, no others.
SETTINGS = {"server_version_num", "transaction_isolation", "synchronous_commit", "lock_timeout"}


def others_may(path: Path) -> str:
    return oct(stat.S_IMODE(path.lstat().st_mode) & 0o077)


def test_t38_the_embedded_server_lies_in_folders_that_nobody_else_may_enter(dsn):
    with psycopg.connect(dsn) as connection:
        data = Path(connection.execute("show data_directory").fetchone()[0])
    socket = Path(parse_qs(urlsplit(dsn).query)["host"][0])

    assert [others_may(path) for path in (data, socket, socket.parent)] == ["0o0"] * 3


def test_t38_what_a_worker_shares_with_its_parent_has_no_name():
    file = anonymous_file()
    names = os.fstat(file).st_nlink
    os.close(file)

    assert names == 0


@pytest.mark.parametrize("folder", ["functions", "views", "migrations"])
def test_t41_sql_reads_no_setting_that_could_be_a_switch(folder):
    found = set()
    for file in files("howdah.sql").joinpath(folder).iterdir():
        text = re.sub(r"--.*", "", file.read_text("utf-8"))
        found |= {*re.findall(r"current_setting\(\s*'([^']*)'", text)}
        assert text.count("current_setting(") == len(re.findall(r"current_setting\(\s*'", text))

    assert found <= SETTINGS


def test_t41_the_clock_is_the_servers():
    text = files("howdah.sql").joinpath("functions/clock.sql").read_text("utf-8")

    assert "return pg_catalog.clock_timestamp()" in " ".join(text.split())


def test_t41_no_variable_of_the_environment_is_a_switch_for_tests():
    names = set()
    for file in Path(howdah.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names |= {*re.findall(r"^HOWDAH_[A-Z_]+$", node.value)}

    assert {"HOWDAH_DATABASE_URL"} <= names
    assert [name for name in names if re.search("TEST|CHAOS|FAULT|CLOCK|SLEEP|MUTANT", name)] == []
