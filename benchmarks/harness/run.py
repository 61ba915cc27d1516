"""Measures Howdah and its peers in one interleaved run.

python -m harness.run [--quick] [--rounds N] [--peers a,b] [--tests a,b] [--columns a,b]
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import psycopg

from harness.adapter import Broke
from harness.install import CannotInstall, Installed, cache, install
from harness.measure import Measurer
from harness.plan import COLUMNS, QUICK, TESTS, Contender, Sizes, medians, peers, turns
from harness.report import chart, markdown
from howdah.bench.figures import rounded
from howdah.bench.surroundings import surroundings
from howdah.embedded import Server, start

SERVER = {"shared_buffers": "1GB", "max_connections": "200", "fsync": "on"}
RESULTS = Path(__file__).parents[1] / "results"


def main() -> int:
    """Install, measure, write; 1 if a measurement of Howdah itself failed."""
    options = _options()
    known = peers()
    installed, skipped = _install({name: known[name] for name in options.peers})
    contenders = [Contender(name, column) for column in options.columns for name in installed]
    with _alone(), start(cache() / "data", settings=SERVER) as server:
        where = msgspec.to_builtins(asyncio.run(_where(server)))
        if not where["durable"]:
            print("this server does not wait for its disk: no run", file=sys.stderr)
            return 1
        measurer = Measurer(server, known, installed, QUICK if options.quick else Sizes())
        found, failures = _measure(measurer, options, contenders)
    document = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "quick": options.quick,
        "rounds": options.rounds,
        "surroundings": where,
        "peers": {
            name: {
                "versions": dict(what.versions),
                **{key: known[name][key] for key in ("history", "best", "default", "jobs")},
            }
            for name, what in installed.items()
        },
        "skipped": skipped,
        "failures": failures,
        "results": _results(found),
        "raw": {f"{who.peer}, {who.column}": rounds for who, rounds in found.items()},
    }
    _write(document, options.out)
    return int(any(failure.startswith("howdah") for failure in failures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Howdah and its peers in one run.")

    def names(text: str) -> list[str]:
        return [name for name in text.split(",") if name]

    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--peers", type=names, default=[*peers()])
    parser.add_argument("--tests", type=names, default=[*TESTS])
    parser.add_argument("--columns", type=names, default=[*COLUMNS])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lists = ((options.peers, peers()), (options.tests, TESTS), (options.columns, COLUMNS))
    for given, known in lists:
        if unknown := set(given) - set(known):
            parser.error(f"there is no {', '.join(sorted(unknown))}: use {', '.join(known)}")
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.out = options.out or (cache() / "quick" if options.quick else RESULTS)
    return options


def _install(
    wanted: dict[str, dict[str, Any]],
) -> tuple[dict[str, Installed], dict[str, str]]:
    installed, skipped = {}, {}
    for name, peer in wanted.items():
        print(f"installing {name} …", file=sys.stderr, flush=True)
        try:
            installed[name] = install(name, peer)
        except CannotInstall as reason:
            print(f"!!! {name} IS SKIPPED: {reason}", file=sys.stderr, flush=True)
            skipped[name] = str(reason)
    return installed, skipped


@contextmanager
def _alone() -> Iterator[None]:
    """One run at a time: two would share the server, and its databases."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("another run is under way: wait for it") from None
        yield


async def _where(server: Server) -> Any:
    connection = await asyncpg.connect(server.dsn("postgres"))
    try:
        return await surroundings(connection)
    finally:
        await connection.close()


def _measure(
    measurer: Measurer, options: argparse.Namespace, contenders: list[Contender]
) -> tuple[dict[Contender, list[dict[str, float | None]]], list[str]]:
    found: dict[Contender, list[dict[str, float | None]]] = {who: [] for who in contenders}
    failures = []
    for turn in turns(options.tests, contenders, options.rounds):
        who = turn.contender
        name = f"{who.peer}, {who.column}, {turn.test}, round {turn.round}"
        try:
            figures = measurer.take(turn)
        except (Broke, psycopg.Error) as error:
            failures.append(f"{name}: {error}")
            print(f"!!! {failures[-1]}", file=sys.stderr, flush=True)
            continue
        found[who].append(figures)
        known = {key: value for key, value in figures.items() if value is not None}
        shown = ", ".join(f"{key} {rounded(value):,}" for key, value in known.items())
        print(f"{name}: {shown}", file=sys.stderr, flush=True)
    return found, failures


def _results(
    found: dict[Contender, list[dict[str, float | None]]],
) -> dict[str, dict[str, dict[str, float]]]:
    results: dict[str, dict[str, dict[str, float]]] = {}
    for who, rounds in found.items():
        results.setdefault(who.column, {})[who.peer] = medians(rounds)
    return results


def _write(document: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / "peers.md").write_text(markdown(document))
    (folder / "peers.svg").write_text(chart(document))
    print(markdown(document))
    print(f"written to {folder}: peers.json, peers.md, peers.svg", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
