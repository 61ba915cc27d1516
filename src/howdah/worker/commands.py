"""Runs programs: no shell, a clean environment, arguments on stdin, the result from stdout."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from howdah.arguments import encode_result
from howdah.errors import HowdahError
from howdah.job import MAX_ARGS
from howdah.jobs import storable
from howdah.outcome import Failed, Outcome, Retrying, Succeeded, Word
from howdah.system import how_it_ended, signal_group

if TYPE_CHECKING:
    from howdah.task import Task
    from howdah.worker.attempt import Attempt

MOST_OUT = MAX_ARGS  # bytes of stdout that may become a result
MOST_CUT = 262_144  # bytes that are kept of more
MOST_ERR = 32_768  # bytes of stderr that are kept: its end
GRACE = 0.5  # seconds between SIGTERM and SIGKILL
LINGER = 0.3  # seconds for what is still in the pipes of a program that has ended
CHUNK = 65_536
NOT_NOW = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}  # the system is at a limit


class NoProgram(HowdahError):
    """A program that may not be run, or is not there."""


class Commands:
    """Attempts tasks with executor="command". `allowed` are programs that one may name at run time.

    Attributes:
        on_groups: called with the process groups whenever they change: whoever outlives the worker
            can kill them.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)
        self._alive: set[int] = set()
        self.on_groups: Callable[[frozenset[int]], None] | None = None

    @property
    def groups(self) -> frozenset[int]:
        """The process groups that live now."""
        return frozenset(self._alive)

    def close(self) -> None:
        """End what still runs."""
        for group in self._alive:
            signal_group(group, signal.SIGKILL)

    async def run(self, attempt: Attempt) -> Outcome:
        """What came of it. The whole process group ends with it, however it ends."""
        named = self._named(attempt)
        if isinstance(named, Outcome):
            return named
        argv, program = named
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, executable=program, stdin=PIPE, stdout=PIPE, stderr=PIPE,
                env=_environment(attempt), start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) in NOT_NOW:
                return attempt.not_now("process", error)
            return attempt.end(Failed, error=storable(f"{argv[0]}: {error}"), reason="error")
        running = _Running(process, attempt.job.args)
        self._tell(process.pid, alive=True)
        try:
            await running.ended()
        except asyncio.CancelledError:
            await running.interrupted()
            return attempt.stopped()
        finally:
            signal_group(process.pid, signal.SIGKILL)  # what it may have left behind
            try:
                await running.drained()
            finally:  # it may be told to stop just now
                self._tell(process.pid, alive=False)
        return _judged(attempt, argv[0], running)

    def _named(self, attempt: Attempt) -> tuple[list[str], str] | Outcome:
        """The arguments, the program among them, and where it is; or what came of it instead."""
        task = attempt.task
        assert task is not None
        try:
            given = task.arguments.decode(attempt.job.args)
        except BaseException as error:  # types may run code of their own
            return attempt.unreadable(error)
        try:
            return self._command(attempt, task, given)
        except NoProgram as error:
            return attempt.end(Failed, error=storable(str(error)), reason="not allowed")
        except BaseException as error:  # of the task's own function
            return attempt.failed_by(error)

    def _command(
        self, attempt: Attempt, task: Task[..., Any], given: dict[str, Any]
    ) -> tuple[list[str], str]:
        """The same, if it may be run and is there; raises NoProgram."""
        if task.command is not None:  # the declaration names the program: it is allowed
            argv = [*task.command]
        else:
            named = attempt.called(given)
            if isinstance(named, Word):
                raise named
            argv = _checked(task.name, named)
            if argv[0] not in self._allowed:
                raise NoProgram(
                    f"the program {argv[0]!r} may not be run",
                    hint='List it: commands = ["…"] under [tool.howdah], or HOWDAH_COMMANDS=….',
                )
        return argv, _found(argv[0])

    def _tell(self, group: int, *, alive: bool) -> None:
        (self._alive.add if alive else self._alive.discard)(group)
        if self.on_groups is not None:
            self.on_groups(self.groups)


class _Running:
    """A program that runs: fed and read at once, so that neither side waits for the other."""

    def __init__(self, process: Process, text: str) -> None:
        self.process = process
        self.out, self.err = bytearray(), bytearray()
        self.out_size = self.err_size = 0
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = [
            asyncio.create_task(_feed(process.stdin, text.encode())),
            asyncio.create_task(self._read_out(process.stdout)),
            asyncio.create_task(self._read_err(process.stderr)),
        ]
        self._waiting = asyncio.create_task(process.wait())

    async def ended(self) -> None:
        """Until the program has ended, and what it wrote is read."""
        while self.process.returncode is None:  # wait() may wait for its grandchildren's pipes too
            await asyncio.wait({self._waiting}, timeout=0.1)
        await asyncio.wait(self._pipes, timeout=LINGER)

    async def interrupted(self) -> None:
        """Told to end, and killed if it does not."""
        signal_group(self.process.pid, signal.SIGTERM)
        for _ in range(int(GRACE / 0.05)):
            if self.process.returncode is not None:
                return
            await asyncio.wait({self._waiting}, timeout=0.05)

    async def drained(self) -> None:
        """Nothing of it is left: its group was killed."""
        everything = {*self._pipes, self._waiting}
        await asyncio.wait(everything, timeout=LINGER)
        for each in everything:
            each.cancel()
        await asyncio.wait(everything)
        for each in everything:
            if not each.cancelled():
                each.exception()

    async def _read_out(self, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(CHUNK):
            self.out_size += len(data)
            if len(self.out) <= MOST_OUT:
                self.out += data

    async def _read_err(self, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(CHUNK):
            self.err_size += len(data)
            self.err += data
            del self.err[: -2 * MOST_ERR]

    def notes(self) -> str | None:
        """What it wrote to stderr; None for nothing."""
        text = self.err[-MOST_ERR:].decode("utf-8", "replace").strip()
        if self.err_size > MOST_ERR:
            text = f"… the last {MOST_ERR} of {self.err_size} bytes:\n{text}"
        return storable(text) if text else None


async def _feed(pipe: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):  # it need not read to the end
        pipe.write(data)
        await pipe.drain()
    with suppress(OSError):
        pipe.close()


def _checked(task: str, argv: Any) -> list[str]:
    if (
        not isinstance(argv, list | tuple)
        or not argv
        or not all(isinstance(each, str) and "\x00" not in each for each in argv)
    ):
        raise NoProgram(
            f"{task} gave {argv!r:.200}, which is no list of a program and its arguments",
            hint='Return for example ["convert", "--", path].',
        )
    return [*argv]


def _path() -> str:
    """Where programs are looked for: never in a folder that is named relative to another."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if os.path.isabs(folder))


def _found(program: str) -> str:
    if os.sep in program:
        found = shutil.which(os.path.abspath(program))
    else:
        found = shutil.which(program, path=_path())
    if found is None:
        raise NoProgram(f"there is no program {program!r} here", hint=f"PATH is {_path()}")
    return found


def _environment(attempt: Attempt) -> dict[str, str]:
    """Nothing of the worker's own, which may hold secrets, but where programs are."""
    job = attempt.job
    return {
        "PATH": _path(),
        "LANG": "C.UTF-8",
        "HOWDAH_JOB_ID": str(job.id),
        "HOWDAH_TASK": job.task,
        "HOWDAH_QUEUE": job.queue,
        "HOWDAH_ATTEMPT": str(job.attempt),
        "HOWDAH_MAX_ATTEMPTS": str(job.max_attempts),
    }


def _judged(attempt: Attempt, program: str, running: _Running) -> Outcome:
    code, notes = running.process.returncode, running.notes()
    if code != 0:
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = how_it_ended(code).removeprefix("was ")
        said = storable(f"{program}: {how}" + (f"\n{notes}" if notes else ""))
        assert attempt.task is not None
        delay = attempt.task.retry.delay(attempt.job.failures)
        return attempt.end(Retrying, error=said, reason="error", retry_in=delay)
    text = running.out.decode("utf-8", "replace").strip()
    if running.out_size > MOST_OUT or (result := _result(attempt, text)) is None:
        text = running.out[:MOST_CUT].decode("utf-8", "replace").replace("\x00", "\ufffd")
        cut = f"stdout was cut: {MOST_CUT} of {running.out_size} bytes are kept"
        notes = storable("\n".join(each for each in (cut, notes) if each))
        result = encode_result(attempt.job.task, text)
    return attempt.end(Succeeded, result=None if result == "null" else result, error=notes)


def _result(attempt: Attempt, text: str) -> str | None:
    """The JSON of a result: what was printed if that is JSON, else its text; None: too large."""
    if not text:
        return "null"
    candidates: list[Any] = [text.replace("\x00", "\ufffd")]
    with suppress(msgspec.DecodeError, ValueError, RecursionError):
        candidates.insert(0, msgspec.json.decode(text))
    for value in candidates:
        with suppress(ValueError):
            return encode_result(attempt.job.task, value) or "null"
    return None
