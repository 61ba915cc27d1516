"""Results that will be known when a job of a workflow is let in, in the place of arguments."""

from __future__ import annotations

from typing import Any

from howdah.errors import BadInput


class Reference:
    """What a step of the same workflow returns, or a part of it.

    `kind` is "step" (one result), "gather" (those of all its jobs, in order, None for those that
    did not succeed) or "outcomes" (objects with state, result and error). `source` names the step,
    or, with `by_task`, the only step that runs this task.
    """

    __slots__ = ("by_task", "kind", "path", "source")

    def __init__(self, kind: str, source: str, path: tuple[str, ...], *, by_task: bool) -> None:
        self.kind, self.source, self.path, self.by_task = kind, source, path, by_task

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.source}{''.join('.' + part for part in self.path)}>"

    def fields(self, step: str) -> dict[str, object]:
        """As the store takes it, once the step is known."""
        return {self.kind: step, **({"path": list(self.path)} if self.path else {})}


def result(step: str, *path: str) -> Reference:
    """The result of a step, or what lies in it under these names: `result("charge", "amount")`."""
    return _reference("step", step, path)


def gather(step: Any, *path: str) -> Reference:
    """The results of all jobs of a step (its name, or its task), in order."""
    return _reference("gather", step, path)


def outcomes(step: Any) -> Reference:
    """How all jobs of a step ended: objects with state, result and error, in order."""
    return _reference("outcomes", step, ())


def _reference(kind: str, step: Any, path: tuple[Any, ...]) -> Reference:
    if any(not isinstance(part, str | int) for part in path):
        raise BadInput(f"a path has names and places, got {path!r}")
    name = step if isinstance(step, str) else getattr(step, "name", None)
    if not isinstance(name, str):
        raise BadInput(f"{step!r} is no step", hint="Give the name of a step, or a task.")
    places = tuple(str(part) for part in path)
    return Reference(kind, name, places, by_task=not isinstance(step, str))


def of_task(task: str, path: tuple[str | int, ...]) -> Reference:
    """The result of the step that runs this task."""
    return Reference("step", task, tuple(str(part) for part in path), by_task=True)
