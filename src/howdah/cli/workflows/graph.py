"""The steps of a workflow as a graph: lines of text, or a flowchart for Mermaid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from howdah.printable import printable
from howdah.workflows import Step

MARKS = {"succeeded": "✓", "failed": "✗", "cancelled": "-", "running": "▶", "blocked": "·"}
_STYLES = {
    "succeeded": "fill:#d7f5dd,stroke:#2e7d32",
    "failed": "fill:#fde0e0,stroke:#c62828",
    "cancelled": "fill:#eeeeee,stroke:#757575",
    "running": "fill:#dcecff,stroke:#1565c0",
    "blocked": "fill:#ffffff,stroke:#9e9e9e",
}


def as_text(steps: Sequence[Step]) -> Iterator[str]:
    """A line for each step, further to the right than those for which it waits."""
    depths = _depths(steps)
    widest = max((depths[s.name] * 2 + len(printable(s.name)) for s in steps), default=0)
    for step in steps:
        indent = "  " * depths[step.name]
        name = f"{indent}{MARKS.get(step.state, '?')} {printable(step.name)}"
        parts = [f"{name:<{widest + 2}}  {step.state:<9}  {step.finished:,}/{step.created:,}"]
        if step.running:
            parts.append(f"{step.running:,} running")
        if step.failed:
            parts.append(f"{step.failed:,} failed")
        if step.after:
            parts.append(f"← {_some(step.after)}")
        if step.error:
            parts.append(f"({printable(step.error)})")
        yield "  ".join(parts)


def as_mermaid(steps: Sequence[Step]) -> str:
    """A flowchart: https://mermaid.js.org/syntax/flowchart.html."""
    ids = {step.name: f"s{n}" for n, step in enumerate(steps)}
    lines = ["flowchart TD"]
    for step in steps:
        text = f"{printable(step.name)}<br/>{step.state} {step.finished:,}/{step.created:,}"
        lines.append(f'    {ids[step.name]}["{_escaped(text)}"]:::{step.state}')
    for step in steps:
        lines += [f"    {ids[p]} --> {ids[step.name]}" for p in step.after if p in ids]
    lines += [f"    classDef {state} {style}" for state, style in _STYLES.items()]
    return "\n".join(lines)


def _depths(steps: Sequence[Step]) -> dict[str, int]:
    """How many steps lie before each, on the longest way; parents may come later in the list."""
    depths = {step.name: 0 for step in steps}
    for _ in range(len(steps)):
        is_changed = False
        for step in steps:
            depth = max((depths.get(parent, -1) + 1 for parent in step.after), default=0)
            if depth > depths[step.name]:
                depths[step.name], is_changed = depth, True
        if not is_changed:
            break
    return depths


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "#quot;")
