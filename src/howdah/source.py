"""Where an app comes from, so that another process can have the same one."""

from __future__ import annotations

import inspect
import os
import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import msgspec

from howdah.app import App
from howdah.errors import BadInput, HowdahError
from howdah.naming import MAIN, run_as_module
from howdah.task import Task

PACKAGE = os.path.dirname(__file__) + os.sep


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An app by its name in a module or a program's file, and modules whose functions are tasks.

    Attributes:
        app: "package.module:name"; None: an app is made for the modules.
        program: the file of `__main__`, if the app was made there: app is then ":name".
        modules: their public functions become tasks.
        argv: what the program was started with.
    """

    app: str | None = None
    program: str | None = None
    modules: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()

    def load(self) -> App:
        """The app; raises BadInput with where it broke."""
        if self.program is not None:
            app = _found(_ran(self.program, self.argv), (self.app or "").lstrip(":"))
        else:
            app = App() if self.app is None else load_app(self.app)
        for module in self.modules:
            declare_module(app, imported(module))
        return app


def source_of(app: App) -> Source:
    """Where a running app can be found by another process; raises BadInput if nowhere."""
    for task in app.tasks.values():
        module = sys.modules.get(task.function.__module__)
        name = next((name for name, value in vars(module or object).items() if value is app), None)
        if module is None or name is None:
            continue
        name_of_module = run_as_module(module) if module.__name__ == "__main__" else module.__name__
        if name_of_module is not None:
            return Source(app=f"{name_of_module}:{name}")
        if (file := getattr(module, "__file__", None)) is not None:
            return Source(app=f":{name}", program=os.path.abspath(file), argv=tuple(sys.argv))
    raise BadInput(
        "this app cannot be had in another process, which a task with executor='process' needs",
        hint="Make the app, and declare its tasks, at the top of a module: app = App().",
    )


def load_app(name: str) -> App:
    """The App that `package.module:name` says; a module alone, if it holds just one."""
    module_name, _, attribute = name.partition(":")
    module = imported(module_name)
    return _found(module, attribute) if attribute else _only_app(module)


def _found(module: ModuleType, attribute: str) -> App:
    found: object = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, App):
        what = "has no" if found is None else "has something else as"
        raise BadInput(f"{module.__name__} {what} {attribute}", hint=_apps_in(module))
    return found


def _only_app(module: ModuleType) -> App:
    apps = _names_of_apps(module)
    if len(apps) != 1:
        raise BadInput(
            f"{module.__name__} does not say which app",
            hint=f"{_apps_in(module)} Or run its functions with --import.",
        )
    found: App = getattr(module, apps[0])
    return found


def _names_of_apps(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, App)]


def _apps_in(module: ModuleType) -> str:
    names = [f"{module.__name__}:{name}" for name in _names_of_apps(module)]
    return f"It holds {', '.join(names)}." if names else "It holds no App: app = App()."


def _ran(program: str, argv: Sequence[str]) -> ModuleType:
    """The program's file as a module: what it does only as __main__ is not done."""
    sys.argv = [*argv]
    module = ModuleType(MAIN)
    sys.modules[MAIN] = module
    try:
        vars(module).update(runpy.run_path(program, run_name=MAIN))
    except (Exception, SystemExit) as error:
        raise _broke(program, error) from error
    return module


def imported(name: str) -> ModuleType:
    """The module, looked for in the current folder first; raises BadInput with where it broke."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        raise _broke(name, error) from error


def _broke(name: str, error: BaseException) -> BadInput:
    if isinstance(error, ModuleNotFoundError | TypeError) and (named := _named_by_file(name)):
        return named
    if isinstance(error, HowdahError):  # such as a task that cannot be declared
        hint = f"{error.hint or ''} {_where(error)}".strip()
        return BadInput(f"cannot import {name!r}: {error.message}", hint=hint)
    return BadInput(f"cannot import {name!r}: {type(error).__name__}: {error}", hint=_where(error))


def _named_by_file(name: str) -> BadInput | None:
    """What to say of `jobs.py` and `./src/jobs`, where a module is to be named."""
    if not (name.endswith(".py") or os.sep in name):
        return None
    file = name if name.endswith(".py") else f"{name}.py"
    if not os.path.exists(file):
        return BadInput(
            f"there is no file {file}, and a module is to be named",
            hint=f"Write yourpackage.module:app. {_looked_for()}",
        )
    path = os.path.relpath(file)
    first = f"Go to {os.path.dirname(path)} and write" if path.startswith(os.pardir) else "Write"
    last = os.path.basename(path) if path.startswith(os.pardir) else path
    module = last.removesuffix(".py").replace(os.sep, ".")
    return BadInput(f"{name} is a file: name the module", hint=f"{first} {module}.")


def _where(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"It broke at {error.filename}, line {error.lineno}: {(error.text or '').strip()}"
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    theirs = [frame for frame in frames if not _is_ours(frame.filename)]
    if theirs:
        return f"It broke at {theirs[-1].filename}, line {theirs[-1].lineno}."
    return _looked_for()


def _looked_for() -> str:
    return f"Modules are looked for in {os.getcwd()}, then where Python looks."


def _is_ours(file: str) -> bool:
    return file.startswith(("<frozen", PACKAGE)) or "importlib" in file


def declare_module(app: App, module: ModuleType) -> None:
    """Make tasks of a module's public functions; what are tasks already are taken as they are.

    What cannot be a task is left out, and said on stderr.
    """
    tasks = [value for value in vars(module).values() if isinstance(value, Task)]
    for task in tasks:
        if task.name not in app.tasks:
            app.tasks.add(task)
    known = {task.function for task in tasks}
    for name, value in vars(module).items():
        if _is_public_function(module, name, value) and value not in known:
            try:
                app.task(value)
            except BadInput as error:
                print(f"{error.message}: it is not offered as a task", file=sys.stderr)  # noqa: T201


def _is_public_function(module: ModuleType, name: str, value: object) -> bool:
    return (
        inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__ == module.__name__
        and not inspect.isgeneratorfunction(value)
        and not inspect.isasyncgenfunction(value)
    )
