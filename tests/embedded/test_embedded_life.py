"""A server lives exactly as long as whoever started it meant it to."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from howdah.embedded import (
    StartFailed,
    ensure,
    find_binaries,
    postmaster,
    reset,
    running,
    start,
    status,
    stop,
    wire,
)
from howdah.embedded import start_staying as stay

FAST = {"fsync": "off"}
OWN = "server = ensure(root, settings=settings); say(server.pid); wait()"


def test_a_server_dies_with_its_starter_even_if_that_is_killed(
    new_project, command, postgres_of, eventually
):
    starter = command(OWN)
    starter.says()
    assert postgres_of(new_project)

    starter.kill()

    eventually(lambda: not postgres_of(new_project), seconds=2)
    with ensure(new_project, settings=FAST) as server:
        assert server.owned


def test_a_server_dies_when_its_launcher_is_killed(
    project, postgres_of, launcher_of, kill, eventually
):
    server = ensure(project, settings=FAST)

    kill(launcher_of(server.pid))

    eventually(lambda: not postgres_of(project), seconds=2)
    server.stop()


def test_a_server_dies_when_starter_and_launcher_are_killed_together(
    project, command, postgres_of, launcher_of, kill, eventually
):
    starter = command(OWN)
    launcher = launcher_of(int(starter.says()))

    os.kill(starter.process.pid, signal.SIGSTOP)
    kill(launcher)
    starter.kill()

    eventually(lambda: not postgres_of(project), seconds=2)


def test_a_server_outlives_the_thread_that_started_it_and_the_value(project):
    from threading import Thread

    thread = Thread(target=lambda: ensure(project, settings=FAST))
    thread.start()
    thread.join()

    server = running(project)
    assert server
    assert server.owned
    assert server.owner == os.getpid()
    server.stop()


def test_a_forked_child_neither_stops_the_server_nor_keeps_it(
    project, command, postgres_of, eventually
):
    starter = command("""
import os, signal
server = ensure(root, settings=settings)
if not os.fork():
    with server: pass                       # the child leaves the block, and owns nothing
    say("child"); signal.pause()
say(os.getpid() and running(root).pid == server.pid)
wait()
""")
    assert {starter.says(), starter.says()} == {"child", "True"}

    os.kill(starter.process.pid, signal.SIGKILL)

    eventually(lambda: not postgres_of(project), seconds=2)
    for child in Path("/proc").glob("[0-9]*"):
        if str(project).encode() in _command_line(child):
            os.kill(int(child.name), signal.SIGKILL)


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_ctrl_c_at_the_terminal_does_not_reach_the_server(project, command):
    starter = command(
        """
import signal
signal.signal(signal.SIGINT, lambda *_: say("interrupted"))
server = ensure(root, settings=settings); say(server.pid)
wait(); say(running(root) is not None)
""",
        start_new_session=True,
    )
    starter.says()

    os.killpg(starter.process.pid, signal.SIGINT)

    assert starter.says() == "interrupted"
    starter.go_on()
    assert starter.says() == "True"


def test_a_starter_that_ends_leaves_nothing_running(project, command, postgres_of):
    starter = command(OWN)
    starter.says()

    starter.go_on()

    assert starter.end() == 0
    assert postgres_of(project) == []


def test_a_server_that_stays_survives_its_starter_until_it_is_stopped(
    project, command, postgres_of
):
    starter = command("say(start_staying(root, settings=settings).pid); wait()")
    pid = int(starter.says())
    starter.kill()

    server = running(project)
    assert server
    assert (server.pid, server.owner, server.owned) == (pid, None, False)

    assert stop(project) == server
    assert postgres_of(project) == []
    assert stop(project) is None


def test_a_server_that_takes_no_connections_is_stopped_too(project, postgres_of, monkeypatch):
    server = stay(project, settings=FAST)
    recovering = wire.Answer(refusal=wire.CANNOT_CONNECT_NOW)
    monkeypatch.setattr(wire, "ask", lambda *_, **__: recovering)
    assert running(project) is None

    stopped = stop(project)

    assert stopped.pid == server.pid
    assert postgres_of(project) == []


def test_a_stop_waits_until_the_last_process_is_gone(project, monkeypatch):
    server = stay(project, settings=FAST)
    looks = iter([True, True, True, False])
    monkeypatch.setattr(postmaster, "in_use", lambda _: next(looks))

    server.stop()

    assert list(looks) == []


def test_a_second_way_to_stop_is_to_reset_which_deletes_the_data(project, postgres_of):
    stay(project, settings=FAST)

    deleted = reset(project)

    assert deleted == [project / ".howdah" / f"pg{find_binaries().major}"]
    assert postgres_of(project) == []
    assert status(project).data_dir is None
    assert not deleted[0].exists()


def test_a_reset_waits_for_what_ends_a_moment_after_the_server(project):
    server = stay(project, settings=FAST)
    server.stop()
    left_over = postmaster.hold(server.data_dir)
    assert left_over is not None
    threading.Timer(0.3, os.close, [left_over]).start()

    assert reset(project) == [server.data_dir]


def test_a_server_that_was_killed_heals_at_the_next_start(project, postgres_of, kill, eventually):
    crashed = ensure(project, settings=FAST)
    kill(crashed.pid)
    eventually(lambda: not postgres_of(project))
    assert (crashed.data_dir / "postmaster.pid").exists()

    with ensure(project, settings=FAST) as server:
        assert server.pid != crashed.pid


def test_a_stale_pid_that_is_another_process_by_now_is_no_obstacle(project):
    with ensure(project, settings=FAST) as server:
        lines = (server.data_dir / "postmaster.pid").read_text().splitlines()
    lines[0] = str(os.getppid())
    (server.data_dir / "postmaster.pid").write_text("\n".join(lines) + "\n")

    assert running(project) is None
    server.stop()
    with ensure(project, settings=FAST) as healed:
        assert healed.pid != os.getppid()


def test_a_half_made_data_directory_is_made_anew(new_project):
    left = new_project / ".howdah" / f"pg{find_binaries().major}.new-killed"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")

    with ensure(new_project, settings=FAST):
        assert not left.exists()


def test_a_failed_start_quotes_the_log(project):
    with pytest.raises(StartFailed, match="no_such_setting") as failed:
        ensure(project, settings={"no_such_setting": "on"})

    assert any("no_such_setting" in line for line in failed.value.log)


def test_settings_reach_the_server_but_tcp_never_opens(project):
    import psycopg

    settings = {"work_mem": "5MB", "listen_addresses": "*"}
    with ensure(project, settings=settings) as server, psycopg.connect(server.dsn()) as db:
        shown = [db.execute(f"show {name}").fetchone() for name in settings]

    assert shown == [("5MB",), ("",)]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's lock is tried through /proc")
def test_two_servers_never_share_a_data_directory_even_unseen_by_pid(project, monkeypatch):
    """As between containers, where the pid in postmaster.pid means nothing."""
    from howdah.embedded import Unusable, postmaster
    from howdah.embedded import server as servers

    with ensure(project, settings=FAST) as server:
        monkeypatch.setattr(postmaster, "find_postmaster", lambda _: None)
        monkeypatch.setattr(servers, "STOP_SECONDS", -9.9)

        with pytest.raises(Unusable, match="a server lives there"):
            start(server.data_dir)

        monkeypatch.undo()


def test_a_staying_server_that_never_gets_ready_is_not_left_behind(
    project, postgres_of, monkeypatch
):
    from howdah.embedded import server as servers

    monkeypatch.setattr(servers, "START_SECONDS", -1)
    monkeypatch.setattr(servers, "find", lambda _: None)

    with pytest.raises(StartFailed, match="not ready"):
        stay(project, settings=FAST)

    monkeypatch.undo()
    assert postgres_of(project) == []
