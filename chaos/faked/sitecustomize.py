"""Lets Python sleep under libfaketime, which refuses `clock_nanosleep` until a moment (EINVAL).

Where only the wall clock is faked it takes that moment, of the monotonic clock, for one of the
other. Found as workers that left with "[Errno 22] Invalid argument", having waited for a process.
"""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
