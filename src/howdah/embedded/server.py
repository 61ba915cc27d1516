"""A PostgreSQL server on a data directory: started, shared, found, described and stopped."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Self
from urllib.parse import quote

from howdah.embedded import postmaster, spawn, wire
from howdah.embedded.binaries import Binaries, find_binaries
from howdah.embedded.errors import OtherMajor, StartFailed, Unusable
from howdah.embedded.sockets import socket_dir_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

DATABASE = "howdah"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
LOG = "server.log"
LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server. As a context manager it ends, if this process owns it, with the block.

    `owner` is the pid of the process with which it dies, None if it stays until it is stopped.
    """

    data_dir: Path
    socket_dir: Path
    version: tuple[int, int]
    pid: int
    owner: int | None = None

    @property
    def owned(self) -> bool:
        """Whether it dies with this very process; False for a sharer, and after a fork."""
        return spawn.is_owned(self.pid)

    def dsn(self, database: str = DATABASE) -> str:
        """The address, as asyncpg, psycopg, psycopg2 and SQLAlchemy understand it."""
        # The port is said so that a PGPORT in the environment does not decide it.
        host = quote(os.fspath(self.socket_dir), safe="/")
        return f"postgresql://{wire.USER}@/{quote(database, safe='')}?host={host}&port={wire.PORT}"

    def stop(self, *, timeout: float = STOP_SECONDS) -> None:
        """End it, whoever owns it, and wait until it is gone; quiet if it has gone already."""
        with postmaster.guard(self.data_dir):
            postmaster.halt(self.data_dir, self.pid, timeout=timeout)
            spawn.disown(self.pid, timeout=timeout)
            postmaster.wait_until_free(self.data_dir)
            # Under the guard nobody is about to put a new socket there.
            with suppress(OSError):
                self.socket_dir.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.owned:
            self.stop()


def start(
    data_dir: Path,
    *,
    binaries: Binaries | None = None,
    settings: Mapping[str, str] | None = None,
    stay: bool = False,
) -> Server:
    """Start the server of that directory, made first where there is none; or share a running one.

    It dies with this process, however that ends, unless it is to `stay`. The settings are those
    of postgresql.conf, for this start only. Raises NoBinaries, OtherMajor, StartFailed, Unusable.
    """
    data_dir = data_dir.resolve()
    with postmaster.guard(data_dir):
        if server := _settled(data_dir):
            return server
        binaries = binaries or find_binaries()
        with _file_errors(data_dir):
            _initialise(data_dir, binaries)
            return _launch(data_dir, binaries, settings or {}, stay=stay)


def find(data_dir: Path, *, mute: bool = False) -> Server | None:
    """The server that runs on that directory and takes connections, if there is one.

    With `mute` also one that takes none: it recovers from a crash, comes, goes or is frozen.
    """
    data_dir = data_dir.resolve()
    process = postmaster.find_postmaster(data_dir)
    if process is None:
        return None
    answer = wire.ask(process.socket_dir, DATABASE)
    if answer.refusal == wire.NO_SUCH_DATABASE:
        answer = _create_database(process.socket_dir)
    if not (answer.is_ready or mute):
        return None
    return Server(
        data_dir=data_dir,
        socket_dir=process.socket_dir,
        version=_version(answer.version) or (data_major(data_dir) or 0, 0),
        pid=process.pid,
        owner=process.owner,
    )


def data_major(data_dir: Path) -> int | None:
    """The major version that wrote the directory; None if it holds no data."""
    try:
        return int((data_dir / "PG_VERSION").read_text())
    except (OSError, ValueError):
        return None


def _settled(data_dir: Path) -> Server | None:
    """The running server, or None once it is sure that none runs: one may be coming or going."""
    deadline = time.monotonic() + STOP_SECONDS + 10
    while True:
        if server := find(data_dir):
            return server
        with _file_errors(data_dir):
            busy = postmaster.in_use(data_dir) or postmaster.find_postmaster(data_dir)
        if not busy:
            return None
        if time.monotonic() > deadline:
            raise Unusable(data_dir, "a server lives there, perhaps in a container, but is mute")
        time.sleep(postmaster.POLL_SECONDS)


def _initialise(data_dir: Path, binaries: Binaries) -> None:
    found = data_major(data_dir)
    if found == binaries.major:
        return
    if found is not None:
        raise OtherMajor(data_dir, found=found, wanted=binaries.major)
    # Made beside and then renamed: whoever is killed in between leaves nothing half done.
    for left in data_dir.parent.glob(f"{data_dir.name}.new-*"):
        shutil.rmtree(left, ignore_errors=True)
    workshop = Path(tempfile.mkdtemp(prefix=f"{data_dir.name}.new-", dir=data_dir.parent))
    try:
        _initdb(workshop / "data", binaries)
        (workshop / "data").rename(data_dir)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _initdb(new: Path, binaries: Binaries) -> None:
    options = ("--encoding=UTF8", "--locale=C", "--auth=trust", f"--username={wire.USER}")
    command: list[str | Path] = [binaries.initdb, "-D", new, "--no-instructions", *options]
    with tempfile.TemporaryFile() as output:
        # Its stdin stays open, unlike in communicate(): at its end the launcher would stop initdb.
        with spawn.launch("watch", new, command, output=output) as launcher:
            status = launcher.wait()
        output.seek(0)
        if status != 0:
            raise StartFailed("initdb failed", _last_lines(output.read()))


def _launch(
    data_dir: Path, binaries: Binaries, settings: Mapping[str, str], *, stay: bool
) -> Server:
    holds = postmaster.hold(data_dir)
    if holds is None:
        raise Unusable(data_dir, "another server lives there")
    try:
        postmaster.clear_stale_pid(data_dir)
        command = _command(data_dir, binaries, settings, stay=stay)
        with _new_log(data_dir) as log:
            mode: Literal["stay", "watch"] = "stay" if stay else "watch"
            launcher = spawn.launch(mode, data_dir, command, output=log, keep=[holds])
    finally:
        os.close(holds)
    try:
        server = _ready(data_dir)
    except BaseException:
        _abandon(data_dir, launcher)
        raise
    if stay:
        launcher.wait()
    else:
        spawn.own(server.pid, launcher)
        # The end of this process would do the same, but the next command might meet the server
        # on its way out.
        atexit.register(server.__exit__)
    return server


def _abandon(data_dir: Path, launcher: subprocess.Popen[bytes]) -> None:
    """End a server that did not get ready: the launcher does, but not for one that is to stay."""
    spawn.let_go(launcher)
    launcher.wait()

    def is_gone() -> bool:
        # Young servers have not written down their pid yet.
        if left := postmaster.find_postmaster(data_dir):
            postmaster.halt(data_dir, left.pid, timeout=STOP_SECONDS)
        return not postmaster.in_use(data_dir)

    postmaster.wait_until(is_gone, STOP_SECONDS)


def _command(
    data_dir: Path, binaries: Binaries, settings: Mapping[str, str], *, stay: bool
) -> list[str]:
    folder = os.fspath(socket_dir_of(data_dir)).replace('"', '""')
    fixed = {
        "listen_addresses": "",
        "port": str(wire.PORT),
        "unix_socket_directories": f'"{folder}"',
        "unix_socket_permissions": "0700",
        "log_checkpoints": "off",
        postmaster.OWNER_SETTING: "0" if stay else str(os.getpid()),
    }
    command = [os.fspath(binaries.postgres), "-D", os.fspath(data_dir)]
    for name, value in (dict(settings) | fixed).items():
        command += ["-c", f"{name}={value}"]
    return command


def _ready(data_dir: Path) -> Server:
    """Wait for the server that was launched to take connections, or to fail."""
    deadline = time.monotonic() + START_SECONDS
    while not (server := find(data_dir)):
        if not postmaster.in_use(data_dir):
            raise StartFailed("PostgreSQL did not start", _logged(data_dir))
        if time.monotonic() > deadline:
            raise StartFailed(f"PostgreSQL was not ready in {START_SECONDS:g} s", _logged(data_dir))
        time.sleep(postmaster.POLL_SECONDS)
    return server


def _create_database(socket_dir: Path) -> wire.Answer:
    wire.ask(socket_dir, "postgres", query=f'create database "{DATABASE}"', timeout=30)
    # Our schema has the role's name, and so would hold whatever tables the project makes.
    path = f'alter role "{wire.USER}" set search_path = public'
    wire.ask(socket_dir, "postgres", query=path, timeout=30)
    return wire.ask(socket_dir, DATABASE)


def _version(said: str | None) -> tuple[int, int] | None:
    """Such as (18, 6) of "18.6 (Debian 18.6-1)"; a beta's minor is 0."""
    numbers = (said or "").partition(" ")[0].split(".")
    if not numbers[0].isdigit():
        return None
    return int(numbers[0]), int(numbers[1]) if numbers[1:] and numbers[1].isdigit() else 0


def _new_log(data_dir: Path) -> IO[bytes]:
    # Moved, not truncated: it may tell why the last server ended, and may be another user's file.
    log = data_dir / LOG
    with suppress(FileNotFoundError):
        log.replace(log.with_suffix(".old"))
    return log.open("wb")


def _logged(data_dir: Path) -> list[str]:
    try:
        return _last_lines((data_dir / LOG).read_bytes())
    except OSError:
        return []


def _last_lines(said: bytes) -> list[str]:
    return said.decode(errors="replace").strip().splitlines()[-LOG_LINES:]


@contextmanager
def _file_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unusable(data_dir, f"{error.strerror or error}") from error
