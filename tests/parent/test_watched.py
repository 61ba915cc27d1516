"""What others can see of a worker: its status, probes, systemd; and what nobody is to see."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

LOST_AFTER = 6.0  # probes call a silence of 2 s by its name


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Probes:
    def __init__(self, port: int) -> None:
        self.port = port

    def __getitem__(self, name: str) -> tuple[int, str]:
        """Status and text; 0 when nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=5) as found:
                return found.status, found.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()
        except OSError:
            return 0, ""


@pytest.fixture
def probes():
    return Probes(_free_port())


@pytest.fixture
def manager(tmp_path: Path):
    """Where systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as box:
        box.bind(str(tmp_path / "notify"))
        box.setblocking(False)
        yield box


def _told(box: socket.socket, so_far: list[str]) -> list[str]:
    try:
        while True:
            so_far += box.recv(4096).decode().splitlines()
    except BlockingIOError:
        return so_far


async def test_probes_and_systemd_hear_of_readiness_silence_and_the_end(
    start, probes, manager, tmp_path, eventually
):
    told: list[str] = []
    parent = start("-p", "2", "--health-port", f"127.0.0.1:{probes.port}", lost_after=LOST_AFTER,
                   import_takes=0.5,
                   env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"},
                   )  # fmt: skip
    await eventually(lambda: probes["livez"][0])
    early = {name: probes[name] for name in ("livez", "readyz", "startupz")}
    early_told = [*_told(manager, told)]
    pids = await parent.ready(2)
    await eventually(lambda: probes["readyz"] == probes["startupz"] == (200, "ok"))
    await eventually(lambda: _told(manager, told).count("WATCHDOG=1") > 2)

    os.kill(pids[0], SIGSTOP)
    await eventually(lambda: _told(manager, told) and probes["livez"][0] == 503)
    silent = probes["livez"][1]
    status = await parent.status()
    os.kill(pids[0], SIGCONT)
    await eventually(lambda: _told(manager, told) and probes["livez"] == (200, "ok"))
    await eventually(lambda: _told(manager, told).count("READY=1"))
    parent.send(SIGTERM)
    code = await parent.ended()

    assert early["livez"] == (200, "ok")
    assert early["readyz"] == (503, "no process has registered")
    assert early["startupz"] == (503, "0 of 2 processes have registered")
    assert "READY=1" not in early_told
    assert told.count("READY=1") == 1
    assert silent.startswith("process 1 has been silent for ")
    assert status["processes"][0]["silent"] > 1
    assert status["processes"][1]["pid"] == pids[1]
    assert status["processes"][1]["running"] == []
    assert _told(manager, told).count("STOPPING=1") == 1
    assert probes["nothing"] == (0, "")
    assert code == 0
    assert "silent for" not in parent.errors


async def test_while_the_database_is_away_a_worker_is_alive_but_not_ready(
    start, own_dsn, probes, eventually
):
    name = conninfo_to_dict(own_dsn)["dbname"]
    parent = start("-p", "1", "--health-port", str(probes.port), database=own_dsn,
                   lost_after=3.0)  # fmt: skip
    await parent.ready()
    await eventually(lambda: probes["readyz"] == (200, "ok"))

    with psycopg.connect(own_dsn, dbname="postgres", autocommit=True) as server:
        server.execute(f"alter database {name} allow_connections false")
        server.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
        )
        await eventually(lambda: probes["readyz"][0] == 503)
        away = probes["readyz"][1], probes["livez"]
        server.execute(f"alter database {name} allow_connections true")
    await eventually(lambda: probes["readyz"] == (200, "ok"))

    assert away[0].startswith("the store has not answered for ")
    assert away[1] == (200, "ok")


async def test_neither_passwords_nor_arguments_stand_where_others_can_read_them(
    start, store, dsn, folder, eventually
):
    (folder / "url").write_text(dsn.replace("@", ":s3cret-enough@", 1))
    parent = start("-p", "2", database=None, url_in=str(folder / "url"))
    telling = start("-p", "1", "-q", "told", "--log-args")
    await parent.ready(2)
    await telling.ready()
    quiet = store.enqueue("hold", {"word": "n0t-f0r-l0gs", "first": 0.3}, queue="quiet")
    await eventually(lambda: store.state(quiet) == "succeeded")
    told = store.enqueue("hold", {"word": "f0r-l0gs"}, queue="told")
    await eventually(lambda: store.state(told) == "succeeded")
    await eventually(lambda: "✓ hold" in parent.errors + telling.errors)

    everything = _seen_by_others(parent.family())
    assert b"duties:app" in everything
    assert b"s3cret-enough" not in everything
    assert "s3cret-enough" not in parent.errors
    assert "n0t-f0r-l0gs" not in parent.errors


def _seen_by_others(pids: list[int]) -> bytes:
    files = (Path(f"/proc/{pid}/{what}") for pid in pids for what in ("cmdline", "environ"))
    return b"".join(file.read_bytes() for file in files)
