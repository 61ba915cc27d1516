"""Settings, and where each came from.

Arguments win over HOWDAH_*, these over DATABASE_URL and PG*, these over [tool.howdah] in
pyproject.toml, that over howdah.toml, and all over the defaults.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec

from howdah.durations import seconds
from howdah.errors import BadInput
from howdah.sql import check_schema

LOST_AFTER = 30.0  # seconds: the store's, until it has said otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process of ours needs to know. Durations are seconds; "30s" or "5m" may be given.

    Attributes:
        database_url: where the store is; None: an embedded PostgreSQL, where that is allowed.
        listen_url: a direct connection for notifications, where database_url leads to a pooler.
        schema: name of the contract's schema; the store's has an underscore before it.
        app: where the App is, as "package.module:name".
        env: "production" forbids the embedded PostgreSQL.
        slots: jobs that a worker runs at once.
        poll_every: how often a worker looks around, and says that it lives; of eight or more
            processes of a parent that sleep, each looks more seldom, all together more often.
        lost_after: how long a silent worker keeps its jobs; None: the store's setting (30 s).
        shutdown_after: how long running jobs get to end when a worker is told to stop.
        process_slots: processes for jobs of tasks with executor="process"; None: one for each core.
        process_max_jobs: after so many jobs such a process is replaced.
        process_memory: MiB that such a process may take; None: no limit.
        http: whether workers call URLs: jobs of the task `http`.
        http_slots: URLs that a worker calls at once; None: 1000, as far as the file limit allows.
        http_per_host: calls of one host at once; None: no limit of its own.
        http_breaker: after so many calls in a row that a host has not answered, its jobs wait,
            uncharged, until one is answered; None: off.
        http_public: whether the public internet may be called; off: only what is allowed.
        commands: programs that tasks with executor="command" may name at run time.
        prepare: whether statements may be prepared; off for poolers that cannot have it.
    """

    database_url: str | None = None
    listen_url: str | None = None
    schema: str = "howdah"
    app: str | None = None
    env: Literal["development", "test", "production"] = "development"
    slots: int = 100
    poll_every: float = 1.0
    lost_after: float | None = None
    shutdown_after: float = 25.0
    process_slots: int | None = None
    process_max_jobs: int = 1000
    process_memory: int | None = None
    http: bool = False
    http_slots: int | None = None
    http_per_host: int | None = None
    http_breaker: int | None = None
    http_public: bool = True
    commands: tuple[str, ...] = ()
    prepare: bool = True

    def __repr__(self) -> str:
        shown = (f"{f.name}={_shown(getattr(self, f.name))!r}" for f in fields(self))
        return f"Settings({', '.join(shown)})"


_DAY = 86400.0
_DURATIONS = {"poll_every", "lost_after", "shutdown_after"}
_BOUNDS = {
    "slots": (1, 10_000),
    "poll_every": (0.01, _DAY),
    "lost_after": (0.1, _DAY),
    "shutdown_after": (0.0, _DAY),
    "process_slots": (1, 1000),
    "http_slots": (1, 10_000),
    "http_per_host": (1, 10_000),
    "http_breaker": (1, 1_000_000),
    "process_max_jobs": (1, 1_000_000_000),
    "process_memory": (64, 1024 * 1024),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each the place it came from."""

    settings: Settings
    sources: Mapping[str, str]


_given: dict[str, Any] = {}  # to this process, by a framework whose own settings say it


def give(**values: Any) -> None:
    """Have `load` take these as it takes arguments: before all other places."""
    _given.update(values)


@contextmanager
def given(**values: Any) -> Iterator[None]:
    """The same for as long as the block runs."""
    before = {**_given}
    give(**values)
    try:
        yield
    finally:
        _given.clear()
        _given.update(before)


_PG = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGSERVICE",
    "PGPASSFILE",
    "PGPASSWORD",
)


def load(
    arguments: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Loaded:
    """Settings for this process; raises BadInput for a name or value that cannot be one."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    places = _places(
        arguments or {}, os.environ if environ is None else environ, folder or Path.cwd()
    )
    for source, given in places:
        for name, value in given.items():
            if value is not None and name not in values:
                values[name], sources[name] = value, source
    hints = get_type_hints(Settings)
    for name, value in values.items():
        if name not in hints:
            raise BadInput(
                f"{sources[name]}: there is no setting {name!r}",
                hint=f"Settings are {', '.join(field.name for field in fields(Settings))}.",
            )
        values[name] = _typed(name, value, hints[name], sources[name])
    settings = Settings(**values)
    check_schema(settings.schema)
    return Loaded(settings, {f.name: sources.get(f.name, "default") for f in fields(Settings)})


def default_schema() -> str:
    """The schema's name by the environment and the project's files, which are read once."""
    said: str | None = _given.get("schema")
    return said or _schema_at(os.getcwd(), os.environ.get("HOWDAH_SCHEMA"))


@lru_cache(maxsize=16)
def _schema_at(_folder: str, _said: str | None) -> str:
    return load().settings.schema


def _places(
    arguments: Mapping[str, Any], environ: Mapping[str, str], folder: Path
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "argument", arguments
    yield "framework's settings", _given
    ours = {f.name: environ.get(f"HOWDAH_{f.name.upper()}") or None for f in fields(Settings)}
    yield "environment (HOWDAH_*)", ours
    yield "environment (DATABASE_URL)", {"database_url": environ.get("DATABASE_URL") or None}
    if any(environ.get(name) for name in _PG):
        yield "environment (PG*)", {"database_url": "postgresql://"}
    project = project_root(folder)
    yield "pyproject.toml", _tables(project / "pyproject.toml", "tool", "howdah")
    yield "howdah.toml", _read(project / "howdah.toml")


def project_root(folder: Path) -> Path:
    """The nearest folder upwards with a pyproject.toml, howdah.toml or .howdah; else this one."""
    for candidate in (folder, *folder.parents):
        if any(
            (candidate / name).exists() for name in ("pyproject.toml", "howdah.toml", ".howdah")
        ):
            return candidate
    return folder


def _tables(file: Path, *path: str) -> dict[str, Any]:
    """The table at a path of tables; nothing where there is none."""
    found: Any = _read(file)
    for name in path:
        found = found.get(name, {})
        if not isinstance(found, dict):
            raise BadInput(f"{file.name}: {name} is no table")
    table: dict[str, Any] = found
    return table


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (FileNotFoundError, PermissionError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file.name} cannot be read: {error}") from error


def _typed(name: str, value: Any, kind: Any, source: str) -> Any:
    if isinstance(value, str) and name == "commands":
        value = [each.strip() for each in value.split(",") if each.strip()]
    try:
        if name in _DURATIONS and isinstance(value, str | timedelta):
            value = seconds(value)
        typed = msgspec.convert(value, kind, strict=False)
    except BadInput as error:
        raise BadInput(f"{source}: {name}: {error.message}", hint=error.hint) from error
    except msgspec.ValidationError as error:
        raise BadInput(f"{source}: {name} = {without_password(repr(value))}: {error}") from error
    if name in _BOUNDS and typed is not None:
        least, most = _BOUNDS[name]
        if not least <= typed <= most:
            raise BadInput(f"{source}: {name} = {value!r} must lie between {least} and {most}")
    return typed


def plain_url(url: str) -> str:
    """The URL without the +driver that SQLAlchemy adds to the scheme."""
    scheme, plus, _ = url.partition("://")[0].partition("+")
    return scheme + url[url.index("://") :] if plus else url


_PASSWORD = re.compile(
    r"(//[^/@:?]*|^[^/@:?=\s]*(?=:(?!//))):.*@"  # user:password@, also where the scheme is missing
    r"|([?&]\w*password=)[^&]*"
    r"|((?:^|\s)\w*password\s*=\s*)(?:'(?:\\.|[^'\\])*'?|(?:\\.|\S)*)",  # as libpq's key=value
    re.DOTALL | re.IGNORECASE,
)


def without_password(url: str) -> str:
    """The URL as it may be shown; made for URLs that are wrong, too, and hides rather too much."""

    def hidden(found: re.Match[str]) -> str:
        before = found[2] or found[3]
        return f"{before}***" if before else f"{found[1]}:***@"

    return _PASSWORD.sub(hidden, url)


def _shown(value: Any) -> Any:
    return without_password(value) if isinstance(value, str) else value
