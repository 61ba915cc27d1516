"""The declared tasks, by the names that jobs have: the only way from a row to code."""

from __future__ import annotations

from typing import Any

from howdah.task import Task
from howdah.versions import fits, key


class Registry(dict[str, Task[..., Any]]):
    """Tasks by name; versions of a task by name@version, and the newest of them by the bare name.

    `get` finds for a range, name@>=2,<3, the newest version in it.
    """

    def add(self, task: Task[..., Any]) -> None:
        """Take it in; its name is free."""
        self[task.name] = task
        if task.version is None:
            return
        bare = self.get(task.base)
        if bare is None or (bare.version is not None and key(bare.version) <= key(task.version)):
            self[task.base] = task

    def get(self, name: str, default: Any = None) -> Any:
        """The task that a job of this name runs; the default when there is none."""
        found = super().get(name)
        if found is None and "@" in name:
            base, _, wanted = name.partition("@")
            versions = [
                task
                for task in set(self.values())
                if task.base == base and task.version is not None and fits(task.version, wanted)
            ]
            found = max(versions, key=lambda task: key(task.version or "0"), default=None)
        return default if found is None else found
