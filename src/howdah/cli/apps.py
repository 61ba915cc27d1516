"""Finds the App of a command: named as package.module:name, or made of a module's functions."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import click

from howdah.errors import BadInput
from howdah.printable import printable
from howdah.settings import load

if TYPE_CHECKING:
    from howdah.app import App


def chosen_app(name: str | None, modules: Sequence[str] = ()) -> App | None:
    """The app that was named, else, without modules, the configured one; modules add to it.

    Modules alone get an app of their own. None when nothing was named and nothing is configured.
    """
    from howdah.app import App

    name = name or (None if modules else load().settings.app)
    if name is None and not modules:
        return None
    app = App() if name is None else load_app(name)
    for module in modules:
        declare_module(app, imported(module))
    return app


def load_app(name: str) -> App:
    """The App that `package.module:name` says; a module alone, if it holds just one."""
    from howdah.app import App

    module_name, _, attribute = name.partition(":")
    module = imported(module_name)
    if not attribute:
        return _only_app(module)
    found: object = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, App):
        what = "has no" if found is None else "has something else as"
        raise BadInput(
            f"{module_name} {what} {attribute}", hint="Name an App: yourpackage.module:app."
        )
    return found


def _only_app(module: ModuleType) -> App:
    from howdah.app import App

    apps = [name for name, value in vars(module).items() if isinstance(value, App)]
    if len(apps) != 1:
        said = f"Apps of {module.__name__}: {', '.join(apps)}." if apps else "It holds no App."
        raise BadInput(
            f"{module.__name__} does not say which app",
            hint=f"{said} Name one as {module.__name__}:name, or run its functions with --import.",
        )
    found: App = getattr(module, apps[0])
    return found


def imported(name: str) -> ModuleType:
    """The module, looked for in the current folder first; raises BadInput with where it broke."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}"
        raise BadInput(f"cannot import {name!r}: {what}", hint=_where(error)) from error


def _where(error: BaseException) -> str:
    frames = (
        [f for f in inspect.getinnerframes(error.__traceback__) if not _is_ours(f.filename)]
        if (error.__traceback__)
        else []
    )
    if frames:
        return f"It broke at {frames[-1].filename}, line {frames[-1].lineno}."
    return f"Modules are looked for in {os.getcwd()}, then where Python looks."


def _is_ours(file: str) -> bool:
    return file.startswith("<frozen") or file == __file__ or "importlib" in file


def declare_module(app: App, module: ModuleType) -> None:
    """Make tasks of a module's public functions; what are tasks already are taken as they are."""
    from howdah.task import Task

    tasks = [value for value in vars(module).values() if isinstance(value, Task)]
    for task in tasks:
        app.tasks.setdefault(task.name, task)
    known = {task.function for task in tasks}
    for name, value in vars(module).items():
        if _is_public_function(module, name, value) and value not in known:
            _declare(app, value)


def _is_public_function(module: ModuleType, name: str, value: object) -> bool:
    return (
        inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__ == module.__name__
        and not inspect.isgeneratorfunction(value)
        and not inspect.isasyncgenfunction(value)
    )


def _declare(app: App, function: object) -> None:
    try:
        app.task(function)  # type: ignore[call-overload]
    except BadInput as error:
        click.echo(f"{printable(error.message)}: it is not offered as a task", err=True)
