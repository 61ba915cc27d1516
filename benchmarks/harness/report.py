"""What is written of a run: one JSON document, Markdown tables, and a chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from harness.plan import COLUMNS
from howdah.bench.figures import rounded

Results = Mapping[str, Mapping[str, Mapping[str, float]]]  # column → peer → figure → median


def _number(name: str) -> Callable[[Mapping[str, float]], str]:
    def shown(found: Mapping[str, float]) -> str:
        return "—" if name not in found else _written(found[name])

    return shown


def _written(value: float) -> str:
    """60,123; below a hundred with three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{rounded(value, 3):g}"


def _latency(found: Mapping[str, float]) -> str:
    if "p50" not in found:
        return "—"
    return " / ".join(f"{found[name]:,.1f}" for name in ("p50", "p95", "p99"))


def _held(found: Mapping[str, float]) -> str:
    return "—" if "held" not in found else f"{found['held']:.2f}"


TITLES: list[tuple[str, Callable[[Mapping[str, float]], str]]] = [
    ("enqueue one by one /s", _number("one")),
    ("bulk /s", _number("bulk")),
    ("drain, 1 process /s", _number("drain1")),
    ("2 processes /s", _number("drain2")),
    ("enqueue → start p50 / p95 / p99 ms", _latency),
    ("WAL bytes/job", _number("wal")),
    ("server's CPU s/10k jobs", _number("server_cpu")),
    ("held snapshot, last / first round", _held),
]


def markdown(document: Mapping[str, Any]) -> str:
    """Two tables, and all that must be known to believe them."""
    results: Results = document["results"]
    parts = [_heading(document)]
    for column in COLUMNS:
        if results.get(column):
            parts += [f"\n## {_NAMES[column]}\n", _table(results[column])]
    parts += ["\n## Who\n", *(_who(name, peer) for name, peer in document["peers"].items())]
    for name, reason in document["skipped"].items():
        parts.append(f"- **{name} was skipped**: {reason}")
    if document["failures"]:
        parts += ["\n## What failed\n", *(f"- {failure}" for failure in document["failures"])]
    return "\n".join(parts) + "\n"


_NAMES = {"best": "Best documented configuration", "default": "Default configuration"}


def _heading(document: Mapping[str, Any]) -> str:
    where = document["surroundings"]
    server = ", ".join(f"{name} {value}" for name, value in where["server"].items() if value)
    quick = " **A quick run: the figures mean nothing.**" if document["quick"] else ""
    return (
        f"# Howdah and its peers\n\n{document['date']}, medians of {document['rounds']} "
        f"interleaved rounds.{quick} PostgreSQL {where['versions']['postgresql']} ({server}); "
        f"{where['machine']['system']}, {where['machine']['cores']} cores shared by server, "
        f"workers and clients; load {where['load']:.1f} when it began."
    )


def _table(peers: Mapping[str, Mapping[str, float]]) -> str:
    lines = ["| | " + " | ".join(title for title, _ in TITLES) + " |"]
    lines.append("|---|" + "---:|" * len(TITLES))
    for name, found in sorted(peers.items(), key=lambda item: -item[1].get("drain1", 0)):
        note = " †" if found.get("drained_share", 1) < 1 else ""
        lines.append(f"| {name}{note} | " + " | ".join(shown(found) for _, shown in TITLES) + " |")
    if any(found.get("drained_share", 1) < 1 for found in peers.values()):
        lines.append("\n† did not end in the time given: the rate is of what was done by then")
    return "\n".join(lines)


def _who(name: str, peer: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in peer["versions"].items())
    return (
        f"- **{name}** ({versions}): {peer['history']}. Best: {peer['best']}. "
        f"Default: {peer['default']}."
    )


# Colours that can be read on white and on black alike.
INK, OURS, THEIRS, FAINT = "#7d8590", "#2f81f7", "#8b949e", 0.45
WIDTH, LEFT, BAR, STEP, TOP = 760, 150, 14, 46, 56


def chart(document: Mapping[str, Any]) -> str:
    """Bars of the drain by one process: best above default, fastest first."""
    results: Results = document["results"]
    names = sorted(
        {name for column in results.values() for name in column if "drain1" in column[name]},
        key=lambda name: -results.get("best", {}).get(name, {}).get("drain1", 0),
    )
    most = max((c[n].get("drain1", 0) for c in results.values() for n in c), default=1) or 1
    parts = [
        _text(LEFT, 20, "No-op jobs per second, one worker process", weight="bold"),
        _text(LEFT, 38, "solid: best documented configuration · faint: defaults", size=12),
    ]
    for place, name in enumerate(names):
        top = TOP + place * STEP
        parts.append(_text(LEFT - 10, top + BAR + 5, name, anchor="end"))
        for row, column in enumerate(COLUMNS):
            rate = results.get(column, {}).get(name, {}).get("drain1")
            if rate is not None:
                parts += _bar(top + row * (BAR + 3), rate, rate / most, name, faint=row > 0)
    height = TOP + len(names) * STEP
    label = escape(", ".join(names))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="No-op jobs per second: {label}" '
        f'font-family="system-ui, sans-serif">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(top: float, rate: float, share: float, name: str, *, faint: bool) -> list[str]:
    colour = OURS if name == "howdah" else THEIRS
    width = max(1.0, share * (WIDTH - LEFT - 90))
    opacity = FAINT if faint else 1
    bar = (
        f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}" '
        f'fill-opacity="{opacity}"/>'
    )
    return [bar, _text(LEFT + width + 6, top + BAR - 3, _written(rate), size=12)]


def _text(
    x: float, y: float, text: str, *, size: int = 14, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{INK}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
