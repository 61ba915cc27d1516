"""Tells systemd how it goes, where it asked to be told (sd_notify, Type=notify)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(**facts: str) -> bool:
    """Send facts such as READY="1" or STATUS="12 running"; nothing where nobody asked for them.

    False: whoever asked cannot take it now.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return True
    if address.startswith("@"):  # a name without a file
        address = "\0" + address[1:]
    text = "\n".join(f"{name}={value}" for name, value in facts.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as box:
        box.setblocking(False)  # whoever does not read must not hold us up
        box.sendto(text.encode(), address)
        return True
    return False


def watchdog_every() -> float | None:
    """Seconds between two signs of life that systemd wants; None if it wants none."""
    for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    wanted = os.environ.get("WATCHDOG_USEC", "")
    return int(wanted) / 2_000_000 if for_us and wanted.isdigit() and int(wanted) > 0 else None
