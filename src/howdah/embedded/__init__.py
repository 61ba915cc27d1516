"""A PostgreSQL that needs no installing, no root and no port: for first steps, tests and demos."""

from howdah.embedded.binaries import Binaries, find_binaries
from howdah.embedded.errors import NoBinaries, OtherMajor, StartFailed, StopFailed, Unusable
from howdah.embedded.project import (
    Status,
    ensure,
    project_root,
    reset,
    running,
    start_staying,
    status,
    stop,
)
from howdah.embedded.server import Server, start

__all__ = [
    "Binaries",
    "NoBinaries",
    "OtherMajor",
    "Server",
    "StartFailed",
    "Status",
    "StopFailed",
    "Unusable",
    "ensure",
    "find_binaries",
    "project_root",
    "reset",
    "running",
    "start",
    "start_staying",
    "status",
    "stop",
]
