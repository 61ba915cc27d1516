"""The types of the app's decorators: what each gives for what it is written above."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from howdah.context import Context
from howdah.task import Task

P = ParamSpec("P")
R = TypeVar("R")


class Declares(Protocol):
    """What `@app.task(…)` gives: takes the function."""

    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...

    def __call__(self, function: Callable[..., Any], /) -> Any:
        """Declare the function."""


class Attaches(Protocol):
    """What `@app.schedule(…)` and `@app.listen(…)` give: takes a task, or the function of one."""

    @overload
    def __call__(self, task: Task[P, R], /) -> Task[P, R]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...

    def __call__(self, what: Callable[..., Any], /) -> Any:
        """Attach it."""
