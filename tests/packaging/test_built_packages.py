"""A wheel and an sdist, each in an empty environment, run a job."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import psycopg
import pytest
from once import made_once

ROOT = Path(__file__).parents[2]
SQL = sorted(
    f"howdah/sql/{path.relative_to(ROOT / 'src/howdah/sql')}"
    for path in (ROOT / "src/howdah/sql").rglob("*.sql")
)


@pytest.fixture(scope="module")
def built() -> Path:
    """A folder with the sdist, and the wheel that was made from it."""
    return made_once(
        "dist",
        lambda folder: run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)),
    )


def test_wheel_and_sdist_contain_every_sql_file(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")

    in_wheel = zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sdist) as archive:
        in_sdist = archive.getnames()

    assert [name for name in SQL if name not in in_wheel] == []
    assert [name for name in SQL if not any(n.endswith(f"/src/{name}") for n in in_sdist)] == []
    assert "howdah/py.typed" in in_wheel


def test_t41_the_wheel_contains_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")

    names = zipfile.ZipFile(wheel).namelist()

    strange = [n for n in names if not re.match(r"howdah/[\w/]+\.(py|sql)$|howdah/py\.typed$", n)]
    assert {name.partition("/")[0].partition("-")[2] for name in strange} == {"0.1.0.dist-info"}
    assert [n for n in names if re.search("test_|conftest|chaos|fault|mutant", n)] == []


@pytest.mark.parametrize("kind", ["*.whl", pytest.param("*.tar.gz", marks=pytest.mark.slow)])
def test_a_built_package_runs_a_job_in_an_empty_environment(
    kind: str, built: Path, tmp_path: Path, empty_dsn: str
) -> None:
    (package,) = built.glob(kind)
    binaries = tmp_path / "venv/bin"
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    pip = (sys.executable, "-m", "pip", "--python", str(binaries / "python"))
    run(*pip, "install", "--quiet", str(package))
    (tmp_path / "greet.py").write_text("def hello(name: str) -> str:\n    return f'hello {name}'\n")
    howdah = str(binaries / "howdah")

    run(howdah, "db", "migrate", dsn=empty_dsn, cwd=tmp_path)
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        db.execute("""select howdah.enqueue('greet.hello', '{"name": "wheel"}')""")
    run(howdah, "worker", "--import", "greet", "--burst", dsn=empty_dsn, cwd=tmp_path)

    with psycopg.connect(empty_dsn) as db:
        assert db.execute("select state, result from howdah.jobs").fetchall() == [
            ("succeeded", "hello wheel")
        ]


def run(*command: str, dsn: str | None = None, cwd: Path | None = None) -> None:
    """Run a command to its good end; its output is shown when it has none."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("HOWDAH_")}
    environ |= {"DATABASE_URL": dsn} if dsn else {}
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
