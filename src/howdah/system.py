"""What is asked of the operating system about processes."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def die_with_parent() -> None:
    """Have the kernel kill us when the thread that started us ends (Linux only).

    Look afterwards whether the parent is still there: it may have died before.
    """
    if sys.platform == "linux":  # the variadic prctl reads whole registers
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


def hear_of_children() -> None:
    """Have the kernel tell how processes end that we start: whoever started us may ignore that."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def shelter_parent(pipe: int) -> None:
    """Go on in a child of a process that waits and ends likewise: a signal to its parent hits that.

    The process in between does not obey what its group is told (a job may have a handler for it),
    and leaves the pipe to the child.
    """
    parent, between = os.getppid(), os.getpid()
    child = os.fork()
    if child == 0:
        die_with_parent()
        if os.getppid() != between:
            os._exit(1)
        return
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_IGN)
    os.close(pipe)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if os.getppid() != parent:  # nobody else will end what is left of the group
        os.killpg(0, signal.SIGKILL)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one is enough
        with suppress(OSError):  # there is no other way to be killed
            signal.signal(-code, signal.SIG_DFL)
        os.kill(between, -code)
    os._exit(code)


def how_it_ended(status: int) -> str:
    """An exit status in words; a negative one is the signal that killed the process."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group, if there is one."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
